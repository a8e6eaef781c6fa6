import ssl
from typing import Any

import pytest

from tailrace.connector_kit.postgres_settings import PostgresSettings, SslMode
from tailrace.connector_kit.registry import validate_settings
from tailrace.core.errors import Invalid


def given(**raw: object) -> PostgresSettings:
    return validate_settings(PostgresSettings, raw)


def test_url_is_taken_apart() -> None:
    options = given(url="postgresql://us%40er:p%2Fw@db.example.com:6432/da%20ta").connect_options()

    assert (options["host"], options["port"], options["database"]) == ("db.example.com", 6432, "da ta")
    assert (options["user"], options["password"]) == ("us@er", "p/w")


def test_what_a_url_leaves_out_has_a_default() -> None:
    options = given(url="postgres://user@[::1]").connect_options()

    assert (options["host"], options["port"], options["database"]) == ("::1", 5432, "user")
    assert options["password"] == ""


def test_url_may_name_the_folder_of_a_socket() -> None:
    options = given(url="postgresql://user@/data?host=/run/postgresql").connect_options()

    assert (options["host"], options["database"]) == ("/run/postgresql", "data")


def test_sslmode_of_the_url_wins() -> None:
    settings = given(url="postgresql://user@host/data?sslmode=disable", ssl_mode=SslMode.REQUIRE)

    assert settings.connect_options()["ssl"] == "disable"


@pytest.mark.parametrize(
    ("mode", "verify_mode", "checks_hostname"),
    [
        (SslMode.REQUIRE, ssl.CERT_NONE, False),
        (SslMode.VERIFY_CA, ssl.CERT_REQUIRED, False),
        (SslMode.VERIFY_FULL, ssl.CERT_REQUIRED, True),
    ],
)
def test_ssl_mode_says_what_is_verified(mode: SslMode, verify_mode: ssl.VerifyMode, *, checks_hostname: bool) -> None:
    context: Any = given(host="h", user="u", ssl_mode=mode).connect_options()["ssl"]

    assert (context.verify_mode, context.check_hostname) == (verify_mode, checks_hostname)


def test_settings_show_no_secret() -> None:
    settings = given(url="postgresql://user:canary@host/data")

    assert "canary" not in repr(settings) + str(settings.model_dump_json())


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:hun@ter2-s3cret/x@db.example.com/wh", "postgresql://u:p?a@db/wh", "postgresql://u:p#a@db/wh"],
)
def test_password_that_is_not_quoted_is_no_address(url: str) -> None:
    with pytest.raises(Invalid, match="@ is %40") as refused:
        given(url=url)

    assert "s3cret" not in refused.value.message
