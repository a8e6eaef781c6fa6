"""The table of routes: what the document about the API is made from must be true."""

import re

from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import A_DESTINATION, A_SOURCE, Caller, Json, a_sync

_NAMES = re.compile(r"{(\w+)}")


async def test_declared_statuses_are_those_answered(
    admin: Caller, source_id: str, destination_id: str, sync_id: str
) -> None:
    bodies: dict[str, Json] = {
        "/api/sources": A_SOURCE,
        "/api/destinations": A_DESTINATION,
        "/api/reverse-etl/syncs": a_sync(destination_id, sourceId=source_id),
        "/api/tokens": {"name": "ci", "role": "viewer"},
        "/retl-connections/{connection_id}/stop": None,
        "/api/v1/connections/{connection_id}/sync": {},
    }
    declared = {route.path: route.status for route in ROUTES if route.method == "POST" and route.path in bodies}

    answered = {
        path: (await admin.post(path.format(connection_id=sync_id), body)).status for path, body in bodies.items()
    }

    assert answered == declared
    assert {route.path for route in ROUTES if route.status != 200 and route.method == "POST"} <= bodies.keys() | {
        "/api/workspaces"
    }


def test_status_of_an_answer_without_a_body_is_204() -> None:
    changing = [route for route in ROUTES if route.method != "GET"]

    assert {route.operation_id for route in changing if (route.answer is None) != (route.status == 204)} == set()


def test_every_operation_stands_once_and_says_what_it_does() -> None:
    operations = [
        (route.method, prefix + _NAMES.sub("{}", route.path)) for route in ROUTES for prefix in route.prefixes
    ]

    assert len(set(operations)) == len(operations)
    assert [route.path for route in ROUTES if not route.summary] == []


def test_fields_of_bodies_and_queries_have_one_name_on_the_wire() -> None:
    fields = {
        (model.__name__, name): field.alias
        for route in ROUTES
        for model in (route.body, route.query)
        for name, field in model.model_fields.items()
    }

    assert {alias for alias in fields.values() if alias is None or "_" in alias} == set()
