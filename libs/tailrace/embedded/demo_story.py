"""What happens in the demo: two runs of one sync, with a changed warehouse between them."""

from collections.abc import Mapping
from dataclasses import dataclass

from tailrace.embedded.demo_api import DemoApi
from tailrace.embedded.demo_chapter import Plot, Show, play
from tailrace.embedded.demo_crm import OBJECT, Contact, Crm
from tailrace.embedded.demo_customers import first_customers, later_customers
from tailrace.embedded.demo_expected import Expected
from tailrace.embedded.demo_warehouse import QUERY, DemoWarehouse

_LETTERS_LOOKED_AT = 200
_MAPPINGS = (
    {"source": "id", "destination": "external_id", "key": True},
    {"source": "email", "destination": "email"},
    {"source": "full_name", "destination": "name"},
    {"source": "plan", "destination": "plan"},
    {"source": "monthly_spend", "destination": "monthly_spend"},
    {"source": "country", "destination": "country"},
    {"value": "warehouse", "destination": "origin"},
)


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo plays with."""

    api: DemoApi
    warehouse: DemoWarehouse
    crm: Crm
    show: Show


@dataclass(frozen=True, slots=True)
class Told:
    """How the demo ended; `wrong` says what was not as expected."""

    sync_id: str
    run_id: str
    wrong: list[str]


async def tell(stage: Stage) -> Told:
    """Make a sync over the API, run it, change the warehouse, run it again, and compare with what had to happen."""
    api, show, expected = stage.api, stage.show, Expected()
    customers = first_customers()
    await stage.warehouse.fill(customers)
    show.step(f"The warehouse holds {len(customers):,} customers; two in a hundred are bad.")
    sync_id = await _define(stage)
    show.step(f"Source, destination and sync were made over the API: {sync_id}")
    first = await play(Plot("first run", sync_id, api.start, expected.run(customers)), api, show)
    customers = later_customers(customers)
    await stage.warehouse.fill(customers)
    show.step("Meanwhile in the warehouse: rows changed, went, came, were mended and were spoilt.")
    plot = Plot("second run", sync_id, api.start_as_connection, expected.run(customers))
    second = await play(plot, api, show)
    letters = await api.open_letters(sync_id)
    show.letters(letters, await api.dead_letters(sync_id, limit=_LETTERS_LOOKED_AT))
    wrong = [*first.wrong, *second.wrong, *_differences(stage.crm.contacts, expected.contacts)]
    if letters != expected.letters:
        wrong.append(f"open dead letters are {letters}, not {expected.letters}")
    return Told(sync_id, second.run.id, wrong)


async def _define(stage: Stage) -> str:
    api = stage.api
    source_id = await api.create_source(stage.warehouse.dsn)
    await api.check("sources", source_id)
    destination_id = await api.create_destination(stage.crm.url, stage.crm.token, OBJECT)
    await api.check("destinations", destination_id)
    return await api.create_sync(
        {
            "name": "Customers to the CRM",
            "sourceId": source_id,
            "sourceQuery": QUERY,
            "destinationId": destination_id,
            "objectName": OBJECT,
            "fieldMappings": _MAPPINGS,
            "syncMode": "upsert",
            "schedule": {"type": "manual"},
        }
    )


def _differences(held: Mapping[str, Contact], wanted: Mapping[str, Contact]) -> list[str]:
    """How the CRM's content differs from what had to come of it, without its values."""
    missing, foreign = wanted.keys() - held.keys(), held.keys() - wanted.keys()
    stale = [key for key in wanted.keys() & held.keys() if held[key] != wanted[key]]
    told = {"lacks": missing, "should not hold": foreign, "holds another version of": stale}
    return [f"the CRM {verb} {len(keys)} contacts, such as {min(keys)}" for verb, keys in told.items() if keys]
