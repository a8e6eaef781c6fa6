"""Who gets a seat."""

from tailrace.core.seats import Seats


async def test_places_are_left_to_those_who_wait_in_their_order() -> None:
    seats = Seats(1)
    assert seats.take()
    first, second = seats.ask(), seats.ask()

    seats.give_back()

    assert first.result()
    assert not second.done()
    assert not seats.take()


async def test_seat_is_not_left_to_who_has_gone() -> None:
    seats = Seats(1)
    assert seats.take()
    cancelled, sent_away, waiting = seats.ask(), seats.ask(), seats.ask()
    cancelled.cancel()
    sent_away.set_result(False)

    seats.give_back()

    assert waiting.result()


async def test_seat_is_free_where_nobody_waits() -> None:
    seats = Seats(1)
    assert seats.take()

    seats.give_back()

    assert not seats.are_taken
    assert seats.take()
