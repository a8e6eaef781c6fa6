"""A row with JSON that the warehouse takes and most readers do not: looked at like any other, but for its fields."""

from tests.executor.sink import Sink
from tests.executor.yard import Yard
from tests.gateway.caller import Caller

QUERY = "SELECT id, '[1e999]'::json AS email FROM people"


async def test_row_that_cannot_be_shown_is_planned_compared_and_tested(editor: Caller, yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 1)
    await yard.change_sync(source_query=QUERY)
    place = f"/api/syncs/{yard.sync.id}"

    planned = await editor.post(f"{place}/plan", {})
    compared = await editor.get(f"{place}/row?key=1&compare=true")
    tested = await editor.post(f"{place}/test-row", {"key": "1", "confirmWrite": True})

    assert (planned.status, compared.status, tested.status) == (200, 200, 200)
    assert [sample["fields"] for sample in planned.attributes["samples"]] == [None]
    assert compared.attributes["source"]["fields"] is None
    assert (tested.attributes["verdict"], tested.attributes["fields"]) == ("delivered", None)
