"""Numbers spread over stretches, for a sample that nobody draws."""

from hypothesis import given
from hypothesis import strategies as st

from tailrace.connector_kit.number_ranges import Range
from tailrace.connector_kit.postgres_samples import spread

widths = st.lists(st.integers(1, 50), min_size=1, max_size=5)


@given(widths, st.integers(0, 300))
def test_numbers_are_of_the_stretch_and_lie_evenly(widths: list[int], count: int) -> None:
    stretch = [Range(1000 * nth, 1000 * nth + width - 1) for nth, width in enumerate(widths)]
    numbers = [number for some in stretch for number in range(some.first, some.last + 1)]

    places = [numbers.index(number) for number in spread(stretch, count)]

    assert len(places) == min(count, len(numbers))
    gaps = [after - before for before, after in zip([-1, *places], [*places, len(numbers)], strict=True)]
    assert not places or max(gaps) <= 2 * len(numbers) / len(places)
    assert places == sorted(set(places))
