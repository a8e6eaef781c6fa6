"""Jobs of Bulk API 2.0 are asked for as a client asks for them that has been in use for years: simple-salesforce."""

import ast
from collections.abc import Mapping
from typing import Any

import pytest

from tailrace.connector_kit.salesforce_jobs import ENDS
from tailrace.core.rows import Operation
from tests.destinations.salesforce_org import Org
from tests.destinations.sdk_models import tree_of
from tests.destinations.test_salesforce_destination import opened, put
from tests.destinations.test_salesforce_jobs import ROWS, an_org, delete

CLIENT = tree_of("simple-salesforce", "simple_salesforce/bulk2.py")
WORDS = {
    node.name: {ast.literal_eval(each.value) for each in node.body if isinstance(each, ast.Assign)}
    for node in CLIENT.body
    if isinstance(node, ast.ClassDef) and any(isinstance(base, ast.Name) and base.id == "Enum" for base in node.bases)
}


def names_in(function: str, variable: str) -> set[str]:
    """The names of an object that a function of the client makes bit by bit."""
    [found] = [node for node in ast.walk(CLIENT) if isinstance(node, ast.FunctionDef) and node.name == function]
    return {name for node in ast.walk(found) if isinstance(node, ast.Assign) for name in _names(node, variable)}


def _names(node: ast.Assign, variable: str) -> set[str]:
    match node.targets, node.value:
        case [ast.Name(id=name)], ast.Dict(keys=keys) if name == variable:
            return {ast.literal_eval(key) for key in keys if key is not None}
        case [ast.Subscript(value=ast.Name(id=name), slice=key)], _ if name == variable:
            return {ast.literal_eval(key)}
    return set()


async def wanted(operation: Operation) -> tuple[Org, Mapping[str, Any]]:
    """The organisation and what was wanted of it, by a job of that operation."""
    org = an_org()
    if operation is Operation.DELETE:
        async with opened(org, bulk_from_rows=100) as destination:
            await delete(destination)
    else:
        await put(org, ["Ada"] * ROWS, bulk_from_rows=100)
    [job] = org.jobs.values()
    return org, job["wanted"]


@pytest.mark.parametrize("operation", [Operation.UPSERT, Operation.DELETE])
async def test_job_is_one_that_the_client_would_make(operation: Operation) -> None:
    _, job = await wanted(operation)

    assert job.keys() <= names_in("create_job", "payload") - {"query"}
    assert job["operation"] in WORDS["Operation"]
    assert {job["columnDelimiter"], job["lineEnding"]} <= WORDS["ColumnDelimiter"] | WORDS["LineEnding"]


async def test_addresses_of_a_job_are_those_of_the_client() -> None:
    org, _ = await wanted(Operation.UPSERT)

    about = {path.removeprefix("/jobs/ingest") for _, path in org.calls if path.startswith("/jobs/")}
    results = {path.rpartition("/")[2].lower() for path in about if "esults" in path or "records" in path}
    assert results <= {word.lower() for word in WORDS["ResultsType"]}
    assert about >= {"", "/7500", "/7500/batches"}
    assert {"ingest", "/batches"} <= {node.value for node in ast.walk(CLIENT) if isinstance(node, ast.Constant)}


def test_states_of_a_job_are_those_of_the_client() -> None:
    assert WORDS["JobState"] - {"Open", "UploadComplete", "InProgress"} == ENDS
