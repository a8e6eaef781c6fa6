import logging
import threading

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from snowflake.connector.errors import DatabaseError, ForbiddenError, ProgrammingError

from tailrace.connector_kit.snowflake_errors import classified, signing_in
from tailrace.connector_kit.snowflake_settings import EMULATOR
from tailrace.core.errors import CredentialsRefused, Invalid, SourceInvalid, SourceUnavailable, TailraceError
from tailrace.testing.eventually import eventually
from tailrace.testing.snowflake_server import Snowflake
from tailrace.testing.warehouse_contract import (
    read,
    told,
)
from tailrace.warehouses.snowflake import SnowflakeWarehouse
from tests.warehouses.snowflake_rig import SnowflakeRig, other_key, settings, use

pytestmark = pytest.mark.xdist_group("snowflake")


@pytest.mark.parametrize("way_in", ["private_key", "token", "password"])
async def test_any_way_in_works_and_a_wrong_one_does_not(snowflake: Snowflake, way_in: str) -> None:
    wrong = {"private_key": other_key(), "token": "c4nary-token", "password": "c4nary-password"}[way_in]

    await use(settings(snowflake, **{way_in: getattr(snowflake, way_in)}))
    with pytest.raises(CredentialsRefused) as refused:
        await use(settings(snowflake, **{way_in: wrong}))

    assert wrong not in told(refused.value)


async def test_key_under_a_passphrase_works(snowflake: Snowflake) -> None:
    key = load_pem_private_key(snowflake.private_key.encode(), None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))

    await use(settings(snowflake, private_key=sealed.decode(), private_key_passphrase="open sesame"))


async def test_account_that_is_not_there_is_said_to_be_so(snowflake: Snowflake) -> None:
    with pytest.raises(SourceInvalid, match="check `account`"):
        await use(settings(snowflake, account="acme-other"))


async def test_role_that_may_change_the_account_is_refused(snowflake: Snowflake) -> None:
    with pytest.raises(SourceInvalid, match="ACCOUNTADMIN"):
        await use(settings(snowflake, role="ACCOUNTADMIN"))

    await use(settings(snowflake, role="ACCOUNTADMIN", allow_admin_role=True))


async def test_user_without_a_warehouse_is_told_what_to_do(snowflake: Snowflake) -> None:
    with pytest.raises(SourceInvalid, match="name one in `warehouse`"):
        await use(settings(snowflake, warehouse=None))


async def test_nothing_of_a_statement_or_a_secret_is_logged(
    snowflake: Snowflake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async with SnowflakeWarehouse.open(settings(snowflake)) as warehouse:
        await read(SnowflakeRig(warehouse, snowflake), """SELECT 'c4nary-row' AS "id" """, "id")

    assert [record for record in caplog.records if record.name.startswith("snowflake")] == []


async def test_threads_end_with_the_warehouse_though_somebody_holds_it(snowflake: Snowflake) -> None:
    async def threads() -> int:
        return sum(thread.name.startswith("snowflake") for thread in threading.enumerate())

    # The threads of what nobody holds end by themselves.
    async with SnowflakeWarehouse.open(settings(snowflake)) as held:
        await held.check()

    await eventually(threads, 0)
    assert held.name == "snowflake"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"token": None}, "give one of private_key, token and password"),
        ({"private_key": "x", "token": "y"}, "give one of private_key, token and password"),
        ({"private_key": "c4nary"}, "no PEM text of a key"),
        ({"private_key_passphrase": "c4nary", "password": "x"}, "is for a private_key"),
        ({"account": "acme.snowflakecomputing.com"}, "account is the part before"),
        ({"account": "https://acme"}, "account"),
        ({"account": "evil.example/acme"}, "account"),
        ({"account": "127.0.0.1:80#"}, "account"),
        ({"domain": "example.com"}, "domain"),
        ({"statement_timeout_s": 0}, "statement_timeout_s"),
    ],
)
def test_settings_that_cannot_work_say_why(options: dict[str, object], what: str) -> None:
    known = Snowflake(0, "acme-main", "ADA", other_key(), "t", "p")

    with pytest.raises(Invalid, match=what) as refused:
        settings(known, **options)

    assert "c4nary" not in told(refused.value)


@pytest.mark.parametrize(
    ("account", "host"),
    [
        ("Acme_Corp-Main", "acme-corp-main.snowflakecomputing.com"),
        ("xy12345.eu-central-1", "xy12345.eu-central-1.snowflakecomputing.com"),
        ("acme-main.privatelink", "acme-main.privatelink.snowflakecomputing.com"),
        ("1", "1.snowflakecomputing.com"),
    ],
)
def test_account_is_sought_under_snowflake_s_own_name_alone(
    monkeypatch: pytest.MonkeyPatch, account: str, host: str
) -> None:
    monkeypatch.delenv(EMULATOR, raising=False)
    chosen = settings(Snowflake(0, account, "ADA", other_key(), "t", "p"))

    place = {name: chosen.connect_options()[name] for name in ("host", "port", "protocol")}

    assert place == {"host": host, "port": 443, "protocol": "https"}


def test_emulator_is_a_port_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EMULATOR, "evil.example:80")

    with pytest.raises(SourceInvalid, match=EMULATOR):
        settings(Snowflake(0, "acme", "ADA", other_key(), "t", "p")).connect_options()


@pytest.mark.parametrize(
    ("number", "state", "kind", "code"),
    [
        (630, "57014", SourceUnavailable, "SOURCE_TIMEOUT"),
        (604, "57014", SourceUnavailable, "SOURCE_TIMEOUT"),
        (8, "0A000", SourceInvalid, "SOURCE_QUERY"),
        (606, "57P03", SourceInvalid, "SOURCE_INVALID"),
        (1003, "42000", SourceInvalid, "SOURCE_QUERY"),
        (2043, "02000", SourceInvalid, "SOURCE_QUERY"),
        (3001, "42501", SourceInvalid, "SOURCE_QUERY"),
        (90105, "22000", SourceInvalid, "SOURCE_QUERY"),
        (100038, "22018", SourceInvalid, "SOURCE_QUERY"),
        (390114, "08001", SourceUnavailable, "SOURCE_UNAVAILABLE"),
        (603, "XX000", SourceUnavailable, "SOURCE_UNAVAILABLE"),
    ],
)
def test_error_of_a_statement_says_whether_to_try_again(
    number: int, state: str, kind: type[TailraceError], code: str
) -> None:
    error = classified(ProgrammingError(msg="words", errno=number, sqlstate=state))

    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (DatabaseError(msg="x", errno=390422, sqlstate="08001"), CredentialsRefused),
        (DatabaseError(msg="x", errno=394304, sqlstate="08001"), CredentialsRefused),
        (DatabaseError(msg="x", errno=390189, sqlstate="08001"), SourceInvalid),
        (ForbiddenError(msg="x", errno=250001, sqlstate="08001"), SourceInvalid),
        (DatabaseError(msg="x", errno=250001, sqlstate="08001"), SourceUnavailable),
        (ConnectionResetError(), SourceUnavailable),
    ],
)
def test_error_of_signing_in_says_what_to_mend(raised: Exception, kind: type[TailraceError]) -> None:
    with pytest.raises(kind) as told_error, signing_in():
        raise raised

    assert type(told_error.value) is kind
