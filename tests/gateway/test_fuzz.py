"""The API under requests that schemathesis makes up from its description, as each role.

Three of its checks cannot hold. `positive_data_acceptance`: no schema tells which cursor, If-Match or used
Idempotency-Key is a good one. `ensure_resource_availability`: it takes the 404 of an id in a body for that of the path.
`allow_header_conformance`: `/v2/retl-sources/preview` is a path of its own and an id of `/v2/retl-sources/{source_id}`.
"""

import asyncio
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.store.tokens import Role
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway
from tests.gateway.deeds import set_scene
from tests.gateway.served import served

TIMES = int(os.environ.get("TAILRACE_TEST_FUZZ", "1"))
"""How often as many cases as in an ordinary run; `make fuzz` sets it."""

EXAMPLES = {Role.ADMIN: 14, Role.EDITOR: 7, Role.VIEWER: 7}
LEAST = {Role.ADMIN: 2000, Role.EDITOR: 1500, Role.VIEWER: 1500}
# Many cases follow from the description alone, or come to the same, however many examples are asked for.
_EXAMPLES_FOR_MORE = 2.6 if TIMES > 1 else 1.0
_WAIT_S = 900.0 * TIMES
_LEFT_OUT = "positive_data_acceptance,ensure_resource_availability,allow_header_conformance"
_MADE_UP = re.compile(r"^\s*(\d+) generated", re.MULTILINE)
_SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
# The same requests each time where a change is judged; elsewhere others, and the seed stands in what it says.
_DRAWS = "--generation-deterministic" if os.environ.get("CI") == "true" else "--generation-database=none"
_CONFIG = Path(__file__).with_name("schemathesis.toml")


async def _fuzz(caller: Caller, examples: int, folder: Path) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        _SCHEMATHESIS,
        f"--config-file={_CONFIG}",
        "run",
        f"{caller.url}/openapi.json",
        f"--header=Authorization: Bearer {caller.token}",
        "--phases=examples,coverage,fuzzing,stateful",
        "--checks=all",
        f"--exclude-checks={_LEFT_OUT}",
        f"--max-examples={examples}",
        # An endless answer, whose events the schema describes one by one.
        "--exclude-operation-id=followRun",
        "--request-timeout=60",
        "--continue-on-failure",
        _DRAWS,
        "--warnings=off",
        "--no-color",
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", "PYTHONHASHSEED": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(_WAIT_S):
        said, _ = await child.communicate()
    assert child.returncode is not None
    return child.returncode, said.decode()


@pytest.mark.timeout(_WAIT_S + 60)
@pytest.mark.parametrize("role", EXAMPLES)
async def test_no_request_is_answered_otherwise_than_described(
    gateway: Gateway, workspace_id: WorkspaceId, admin: Caller, tmp_path: Path, role: Role
) -> None:
    await set_scene(gateway, admin)

    async with served(gateway) as port:
        caller = replace(await gateway.caller(workspace_id, role), url=f"http://127.0.0.1:{port}")
        code, said = await _fuzz(caller, round(EXAMPLES[role] * TIMES * _EXAMPLES_FOR_MORE), tmp_path)

    assert code == 0, said[-20_000:]
    assert int(_MADE_UP.findall(said)[0]) >= LEAST[role] * TIMES
