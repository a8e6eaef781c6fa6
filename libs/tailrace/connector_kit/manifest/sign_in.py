"""Sends requests with credentials; an access token that ends is renewed once, by one task for all."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tailrace.connector_kit.answers import raise_for_status
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.keeping import Keeper, current_keeper
from tailrace.connector_kit.manifest.auth import Auth, EitherGrant, Granted, RefreshToken, Shown, Values
from tailrace.connector_kit.manifest.parts import look_up, number_at, read_json, text_at
from tailrace.core.clock import Clock
from tailrace.core.errors import CredentialsRefused, DestinationUnavailable, InDoubt

_EARLY_S = 60.0
_LIFE_S = 900.0
_REFUSING = frozenset({400, 401, 403})


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, until when it is good by our clock, and which address it is for, if the vendor says so."""

    text: str
    until: float
    base_url: str = ""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that show it."""
        return {"Authorization": f"Bearer {self.text}"}


@dataclass(slots=True)
class SignIn:
    """The credentials of one connection, used by several tasks at once."""

    auth: Auth
    values: Values = field(repr=False)
    http: HttpClient
    clock: Clock
    keeper: Keeper | None = field(default_factory=current_keeper)
    _token: Token | None = field(default=None, repr=False)
    _kept: str = field(default="", repr=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def secrets(self) -> Sequence[str]:
        """What must not be repeated anywhere: each secret, and the access token."""
        told = [self.values[setting.name] for setting in self.auth.settings if setting.secret]
        return [*told, self._kept, *([self._token.text] if self._token else [])]

    async def base_url(self) -> str:
        """The address that the credentials are for; empty where they do not say."""
        if isinstance(self.auth, Shown):
            return ""
        grant = self._grant()
        return "" if grant.base_url_at is None else (await self._current(grant)).base_url

    def _grant(self) -> Granted:
        match self.auth:
            case EitherGrant():
                return self.auth.chosen(self.values)
            case Granted():
                return self.auth
        raise TypeError(f"{type(self.auth).__name__} gives no token")

    async def send(self, request: HttpRequest, *, is_expired: Callable[[HttpResponse], bool]) -> HttpResponse:
        """Send a request with the credentials shown; once more with another access token if this one has ended.

        An answer that says so means that nothing was applied.

        :raises CredentialsRefused: no token is given for the credentials.
        """
        if isinstance(self.auth, Shown):
            return await self._send(request, self.auth.headers(self.values))
        grant = self._grant()
        token = await self._current(grant)
        response = await self._send(request, token.headers)
        if not is_expired(response):
            return response
        return await self._send(request, (await self._renewed(grant, token)).headers)

    async def _send(self, request: HttpRequest, headers: Mapping[str, str]) -> HttpResponse:
        return await self.http.send(replace(request, headers={**request.headers, **headers}))

    async def _renewed(self, auth: Granted, ended: Token) -> Token:
        """Another token than the one that ended; of several tasks that ask, one gets it for all."""
        async with self._lock:
            if self._token is None or self._token is ended:
                self._token = await self._granted(auth)
            return self._token

    async def _current(self, auth: Granted) -> Token:
        async with self._lock:
            if self._token is None or self.clock.monotonic() >= self._token.until:
                self._token = await self._granted(auth)
            return self._token

    async def _granted(self, auth: Granted) -> Token:
        if self.keeper is None or not isinstance(auth, RefreshToken):
            token, document = await self._exchanged(auth, self.values)
            _refuse_rotation(document, self.values)
            return token
        async with self.keeper.alone() as grant:
            now_s = self.clock.now().timestamp()
            ended = self._token.text if self._token else ""
            if grant.access_token not in {"", ended} and grant.until > now_s + _EARLY_S:
                left_s = grant.until - now_s
                return Token(grant.access_token, self.clock.monotonic() + left_s - _EARLY_S, grant.base_url)
            token, document = await self._exchanged(auth, {**self.values, "refresh_token": grant.refresh_token})
            grant.refresh_token = _rotated(document) or grant.refresh_token
            grant.access_token, grant.base_url = token.text, token.base_url
            grant.until = now_s + (number_at(document, "expires_in") or _LIFE_S)
            self._kept = grant.refresh_token
            return token

    async def _exchanged(self, auth: Granted, values: Values) -> tuple[Token, object]:
        """An access token for the credentials, and all of the answer that gives it."""
        asked = self.clock.monotonic()
        try:
            response = await self.http.send(auth.request(values, now=self.clock.now()))
        except InDoubt as error:
            raise DestinationUnavailable(f"no answer to the request for an access token: {error.message}") from error
        if response.status in _REFUSING:
            told = text_at(read_json(response.body), "error")[:64]
            raise CredentialsRefused(f"no access token is given for these credentials: {told or response.status}")
        raise_for_status(response, now=self.clock.now())
        document = read_json(response.body)
        token = look_up(document, "access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise DestinationUnavailable("the answer to the request for an access token holds none")
        life_s = number_at(document, "expires_in") or _LIFE_S
        base_url = text_at(document, auth.base_url_at) if auth.base_url_at else ""
        if auth.base_url_at and not base_url.startswith("https://"):
            raise DestinationUnavailable("the answer to the request for an access token names no address")
        return Token(token, asked + max(life_s - _EARLY_S, life_s / 2), base_url), document


def _rotated(document: object) -> str:
    """The refresh token of an answer; empty where it stays the same."""
    told = look_up(document, "refresh_token")
    return told if isinstance(told, str) and told.isascii() and told.isprintable() else ""


def _refuse_rotation(document: object, values: Values) -> None:
    told, held = text_at(document, "refresh_token"), values.get("refresh_token")
    if held and told and told != held:
        raise CredentialsRefused("the vendor rotates refresh tokens, and nobody keeps them here")
