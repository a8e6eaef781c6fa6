"""Access tokens: got once for all tasks, renewed before they end, never told."""

import asyncio
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from urllib.parse import parse_qs

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.auth import AnyAuth, ClientCredentials, JwtBearer, RefreshToken
from tailrace.connector_kit.manifest.sign_in import SignIn
from tailrace.core.clock import SystemClock
from tailrace.core.errors import CredentialsRefused, DestinationUnavailable, InDoubt
from tailrace.testing.fake_http import Answer, FakeHttp, answer

TOKENS = "https://vendor.example/token"
PAGE = "https://vendor.example/docs"
CLIENT = ClientCredentials(token_url=TOKENS, source=PAGE, scope="write", base_url_at="instance_url")
VALUES = {"client_id": "us", "client_secret": "canary-secret", "refresh_token": "canary-refresh", "user": "ada"}
REQUEST = HttpRequest("POST", "https://vendor.example/rows", {"X": "1"}, b"{}")


class Clock(SystemClock):
    at_s = 0.0

    def monotonic(self) -> float:
        return self.at_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


class Vendor(HttpClient):
    """Gives a new token whenever it is asked, and takes the second."""

    def __init__(self) -> None:
        self.tokens = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        if request.url == TOKENS:
            self.tokens += 1
            return granted(self.tokens)
        return answer(401 if request.headers["Authorization"] == "Bearer token-1" else 200)


def sign_in(http: HttpClient, clock: Clock, auth: AnyAuth = CLIENT, values: Mapping[str, str] = VALUES) -> SignIn:
    return SignIn(auth, values, http, clock)


def granted(number: int, **more: object) -> HttpResponse:
    return answer(200, {"access_token": f"token-{number}", "expires_in": 600, "instance_url": "https://own"} | more)


def has_expired(response: HttpResponse) -> bool:
    return response.status == 401


async def test_token_is_asked_for_once_by_many_tasks(clock: Clock) -> None:
    http = FakeHttp(granted(1), answer(200))
    signed = sign_in(http, clock)

    async with asyncio.timeout(10):
        await asyncio.gather(*(signed.send(REQUEST, is_expired=has_expired) for _ in range(10)))

    assert [request.url for request in http.requests].count(TOKENS) == 1
    assert {request.headers["Authorization"] for request in http.requests[1:]} == {"Bearer token-1"}
    assert parse_qs(http.requests[0].body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["us"],
        "client_secret": ["canary-secret"],
        "scope": ["write"],
    }


async def test_token_that_ended_is_renewed_once_by_many_tasks(clock: Clock) -> None:
    http = Vendor()
    signed = sign_in(http, clock)

    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(signed.send(REQUEST, is_expired=has_expired) for _ in range(10)))

    assert {response.status for response in answers} == {200}
    assert http.tokens == 2


async def test_token_is_renewed_before_it_ends(clock: Clock) -> None:
    http = FakeHttp(granted(1), answer(200), granted(2), answer(200))
    signed = sign_in(http, clock)
    await signed.send(REQUEST, is_expired=has_expired)

    clock.at_s = 541
    await signed.send(REQUEST, is_expired=has_expired)

    assert http.requests[-1].headers["Authorization"] == "Bearer token-2"


async def test_request_is_sent_twice_at_most(clock: Clock) -> None:
    http = FakeHttp(granted(1), answer(401), granted(2), answer(401))

    told = await sign_in(http, clock).send(REQUEST, is_expired=has_expired)

    assert told.status == 401
    assert len(http.requests) == 4


async def test_address_is_the_one_that_the_token_is_for(clock: Clock) -> None:
    assert await sign_in(FakeHttp(granted(1)), clock).base_url() == "https://own"


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (answer(400, {"error": "invalid_grant", "error_description": "canary-secret"}), CredentialsRefused),
        (answer(401), CredentialsRefused),
        (answer(500), DestinationUnavailable),
        (answer(200, {"token": "x"}), DestinationUnavailable),
        (answer(200, b"<html>"), DestinationUnavailable),
        (InDoubt("lost"), DestinationUnavailable),
    ],
    ids=["refused", "unauthorized", "outage", "no token", "html", "lost"],
)
async def test_no_token_stops_everything_and_tells_no_secret(
    clock: Clock, told: Answer, error: type[Exception]
) -> None:
    with pytest.raises(error) as failed:
        await sign_in(FakeHttp(told), clock).send(REQUEST, is_expired=has_expired)

    assert "canary" not in str(failed.value)


async def test_refresh_token_that_rotates_is_refused_where_nobody_keeps_it(clock: Clock) -> None:
    auth = RefreshToken(token_url=TOKENS, source=PAGE)
    http = FakeHttp(granted(1, refresh_token="another-one"))

    with pytest.raises(CredentialsRefused, match="rotates"):
        await sign_in(http, clock, auth).send(REQUEST, is_expired=has_expired)


async def test_assertion_is_signed_with_the_key_and_says_who(clock: Clock, key: RSAPrivateKey) -> None:
    auth = JwtBearer(token_url=TOKENS, source=PAGE, issuer="{client_id}", subject="{user}", audience="https://login")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    http = FakeHttp(granted(1), answer(200))

    await sign_in(http, clock, auth, VALUES | {"private_key": pem}).send(REQUEST, is_expired=has_expired)

    form = parse_qs(http.requests[0].body.decode())
    content, _, signature = form["assertion"][0].rpartition(".")
    key.public_key().verify(decoded(signature), content.encode(), PKCS1v15(), SHA256())
    claims = orjson.loads(decoded(content.partition(".")[2]))
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert (claims["iss"], claims["sub"], claims["aud"], claims["exp"] - claims["iat"]) == (
        "us",
        "ada",
        "https://login",
        180,
    )


async def test_key_that_is_none_is_refused_without_being_told(clock: Clock) -> None:
    auth = JwtBearer(token_url=TOKENS, source=PAGE, issuer="us", audience="https://login")

    with pytest.raises(CredentialsRefused, match="no RSA key") as refused:
        await sign_in(FakeHttp(), clock, auth, {"private_key": "canary"}).send(REQUEST, is_expired=has_expired)

    assert "canary" not in str(refused.value)


def decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_no_secret_is_shown_where_the_credentials_are_written_out(clock: Clock) -> None:
    credentials = sign_in(Vendor(), clock)
    await credentials.send(REQUEST, is_expired=has_expired)

    told = repr(credentials)

    assert all(secret not in told for secret in ("canary", "token-1", "token-2"))
