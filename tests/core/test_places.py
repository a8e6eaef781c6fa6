"""Who gets a place."""

from tailrace.core.places import Places


async def test_places_are_left_to_those_who_wait_in_their_order() -> None:
    places = Places(1)
    assert places.take()
    first, second = places.ask(), places.ask()

    places.give_back()

    assert first.result()
    assert not second.done()
    assert not places.take()


async def test_place_is_not_left_to_who_has_gone() -> None:
    places = Places(1)
    assert places.take()
    cancelled, sent_away, waiting = places.ask(), places.ask(), places.ask()
    cancelled.cancel()
    sent_away.set_result(False)

    places.give_back()

    assert waiting.result()


async def test_place_is_free_where_nobody_waits() -> None:
    places = Places(1)
    assert places.take()

    places.give_back()

    assert not places.are_taken
    assert places.take()
