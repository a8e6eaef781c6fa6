import pytest

from tailrace.observe.tracing import current_traceparent, traced

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"


def test_work_knows_its_trace_within_the_scope_alone() -> None:
    with traced(TRACEPARENT):
        within = current_traceparent()

    assert (within, current_traceparent()) == (TRACEPARENT, None)


def test_work_without_a_trace_inside_traced_work_has_none() -> None:
    with traced(TRACEPARENT):
        with traced(None):
            inner = current_traceparent()
        outer = current_traceparent()

    assert (inner, outer) == (None, TRACEPARENT)


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "00-zz",
        TRACEPARENT.upper(),
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        TRACEPARENT + "\n",
    ],
    ids=["empty", "short", "capitals", "forbidden version", "no trace", "no span", "line end"],
)
def test_malformed_trace_counts_as_none(malformed: str) -> None:
    with traced(malformed):
        assert current_traceparent() is None
