"""fakesnow, the public emulator of Snowflake, as a server of the tests on loopback."""

import json
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tailrace.embedded.guarded_server import Charge, GuardedServer

_LADDER = (("SIGTERM", 5.0), ("SIGKILL", 5.0))
_READY_S = 120.0
_ANSWER = ClientTimeout(total=10)


@dataclass(frozen=True, slots=True)
class Snowflake:
    """An account and its user on a port of this machine, with three ways to sign in."""

    port: int
    account: str
    user: str
    private_key: str = field(repr=False)
    token: str = field(repr=False)
    password: str = field(repr=False)

    async def statements_running(self) -> int:
        """How many statements the server works at."""
        async with (
            ClientSession(timeout=_ANSWER) as client,
            client.get(f"http://127.0.0.1:{self.port}/running") as answer,
        ):
            return int(await answer.text())


@asynccontextmanager
async def snowflake_server() -> AsyncIterator[Snowflake]:
    """A fresh server for the scope; however this process ends, the server stops and its files go.

    :raises Unavailable: the server did not start.
    """
    directory = Path(tempfile.gettempdir()) / f"tailrace-snowflake-{secrets.token_hex(8)}"
    charge = Charge(name="fakesnow", directory=directory, ladder=_LADDER, remove_at_end=(directory,))
    key, public_key = new_key()
    known = {"account": "acme-main", "user": "TAILRACE", "token": secrets.token_hex(), "password": secrets.token_hex()}
    port_file = directory / "port"
    arguments = [json.dumps(known | {"public_key": public_key}), str(port_file)]
    async with GuardedServer.open(charge) as guarded:

        async def is_ready(_pid: int) -> bool:
            return port_file.exists() and await _answers(int(port_file.read_text()))

        steps = [{"serve": [sys.executable, "-m", "tailrace.testing.snowflake_emulator", *arguments]}]
        await guarded.start(steps, is_ready, _READY_S)
        yield Snowflake(port=int(port_file.read_text()), private_key=key, **known)
        await guarded.kill()


def new_key() -> tuple[str, str]:
    """A private key and its public half, both PEM."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


async def _answers(port: int) -> bool:
    try:
        async with ClientSession(timeout=_ANSWER) as client, client.get(f"http://127.0.0.1:{port}/running") as answer:
            return answer.status == 200
    except (ClientError, TimeoutError):
        return False
