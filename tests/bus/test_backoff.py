from tailrace.bus.backoff import Backoff


def test_waits_grow_to_their_bound() -> None:
    backoff = Backoff(first_s=1, most_s=10)

    waits = [backoff.next_s() for _ in range(6)]

    bounds = [1, 2, 4, 8, 10, 10]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))


def test_waits_begin_anew_once_it_answers() -> None:
    backoff = Backoff(first_s=1, most_s=10)
    _ = [backoff.next_s() for _ in range(6)]

    backoff.reset()

    assert backoff.next_s() <= 1


def test_processes_do_not_wait_in_step() -> None:
    waits = {Backoff(first_s=1).next_s() for _ in range(20)}

    assert len(waits) > 1
