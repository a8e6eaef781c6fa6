"""Whom the platforms for advertising take for one, though the query writes the key in several ways."""

from collections.abc import Callable
from hashlib import sha256

import orjson
import pytest

from tailrace.connector_kit.manifest.engine import manifest_of
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.stage import staged
from tailrace.core.rows import Operation
from tailrace.destinations.google_ads import GoogleAdsDestination
from tailrace.destinations.meta_audiences import MANIFEST

EMAILS = (" Ada@X.example", "ada@x.example", sha256(b"ada@x.example").hexdigest())
PHONES = ("+44 20 7946 0991", "+442079460991")
GOOGLE, META = manifest_of(GoogleAdsDestination), MANIFEST

Identity = Callable[[bytes], bytes]


async def identity_of(manifest: Manifest | None, key_name: str) -> Identity:
    assert manifest is not None
    async with staged(next(iter(manifest.families)), Operation.DELETE, key_name) as stage:
        found = stage.plan.identity_of
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("manifest", "key_name", "ways"),
    [
        (GOOGLE, "email", EMAILS),
        (GOOGLE, "phone", PHONES),
        (META, "EMAIL", EMAILS),
        (META, "PHONE", PHONES),
    ],
)
async def test_keys_of_one_person_are_known_as_one(
    manifest: Manifest | None, key_name: str, ways: tuple[str, ...]
) -> None:
    identity = await identity_of(manifest, key_name)

    assert len({identity(orjson.dumps({key_name: way})) for way in ways}) == 1
    assert identity(orjson.dumps({key_name: ways[0]})) != identity(orjson.dumps({key_name: "+12025550123"}))


async def test_key_that_cannot_be_sent_is_known_as_it_is() -> None:
    identity = await identity_of(META, "PHONE")

    assert identity(b'{"PHONE":"nobody"}') == b'{"PHONE":"nobody"}'
