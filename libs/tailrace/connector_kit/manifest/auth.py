"""The kinds of credentials: what a user fills in for each, and how a request shows them."""

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlencode

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, Field

from tailrace.connector_kit.header_rules import HEADER_VALUE, HeaderName
from tailrace.connector_kit.http import HttpRequest
from tailrace.connector_kit.manifest.addresses import SettingsText, Url, filled
from tailrace.connector_kit.manifest.jwt import signed_by_rsa
from tailrace.connector_kit.manifest.limits import Page
from tailrace.connector_kit.manifest.parts import Part, Path
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.core.errors import CredentialsRefused

Values: TypeAlias = Mapping[str, str]
"""The settings of a connection as text, secrets opened."""

_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_S = 180


def _shows_the_key(text: str) -> str:
    if "{api_key}" not in text or not HEADER_VALUE.fullmatch(text):
        raise ValueError("must be printable ASCII without spaces at its ends, with {api_key} where the key stands")
    return text


class Auth(Part, ABC):
    """A kind of credentials."""

    @property
    @abstractmethod
    def settings(self) -> tuple[Setting, ...]:
        """What a user fills in."""

    @property
    def texts(self) -> Mapping[str, str]:
        """The texts in which settings may stand, by name."""
        return {}


class Shown(Auth, ABC):
    """Credentials that every request shows as they are."""

    @abstractmethod
    def headers(self, values: Values) -> Mapping[str, str]:
        """The headers that show them."""


class NoAuth(Shown):
    """None at all."""

    kind: Literal["none"] = "none"

    @property
    def settings(self) -> tuple[Setting, ...]:
        return ()

    def headers(self, values: Values) -> Mapping[str, str]:
        return {}


class Bearer(Shown):
    """`Authorization: Bearer`, with a token that does not end by itself."""

    kind: Literal["bearer"] = "bearer"
    description: str = "the access token"

    @property
    def settings(self) -> tuple[Setting, ...]:
        return (Setting(name="token", description=self.description, secret=True),)

    def headers(self, values: Values) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {values['token']}"}


class ApiKey(Shown):
    """A header of the vendor's own; `{api_key}` in the value is the key."""

    kind: Literal["api_key"] = "api_key"
    header: HeaderName
    value: Annotated[str, AfterValidator(_shows_the_key)] = "{api_key}"
    description: str = "the API key"

    @property
    def settings(self) -> tuple[Setting, ...]:
        return (Setting(name="api_key", description=self.description, secret=True),)

    def headers(self, values: Values) -> Mapping[str, str]:
        return {self.header: self.value.replace("{api_key}", values["api_key"])}


class Basic(Shown):
    """`Authorization: Basic`, by settings of these names; a user that is not asked for is always the same."""

    kind: Literal["basic"] = "basic"
    names: tuple[str, str] = ("user", "password")
    fixed_user: str | None = None

    @property
    def settings(self) -> tuple[Setting, ...]:
        user, password = (name.replace("_", " ") for name in self.names)
        shown = Setting(name=self.names[0], description=f"the {user}")
        hidden = Setting(name=self.names[1], description=f"the {password}", secret=True)
        return (hidden,) if self.fixed_user is not None else (shown, hidden)

    def headers(self, values: Values) -> Mapping[str, str]:
        user = values[self.names[0]] if self.fixed_user is None else self.fixed_user
        return {"Authorization": "Basic " + b64encode(f"{user}:{values[self.names[1]]}".encode()).decode()}


class Granted(Auth, ABC):
    """Credentials that are changed for an access token, which ends after a while.

    `token_url` may hold settings in braces. `base_url_at` is where the answer says which address the token is for.
    """

    token_url: Url
    source: Page = "https://www.rfc-editor.org/rfc/rfc6749"
    base_url_at: Path | None = None

    @property
    def texts(self) -> Mapping[str, str]:
        return {"token_url": self.token_url}

    def request(self, values: Values, *, now: datetime) -> HttpRequest:
        """The request for a token.

        :raises CredentialsRefused: the credentials cannot be used at all.
        """
        url = filled(self.token_url, values)
        return HttpRequest("POST", url, _FORM, urlencode(self.form(values, now=now)).encode())

    @abstractmethod
    def form(self, values: Values, *, now: datetime) -> Mapping[str, str]:
        """What is sent for a token."""


class ClientCredentials(Granted):
    """OAuth 2.0, RFC 6749 section 4.4."""

    kind: Literal["client_credentials"] = "client_credentials"
    scope: str | None = None

    @property
    def settings(self) -> tuple[Setting, ...]:
        return (
            Setting(name="client_id", description="the client's id"),
            Setting(name="client_secret", description="the client's secret", secret=True),
        )

    def form(self, values: Values, *, now: datetime) -> Mapping[str, str]:
        form = {name: values[name] for name in ("client_id", "client_secret")}
        return form | {"grant_type": "client_credentials"} | ({"scope": self.scope} if self.scope else {})


class RefreshToken(Granted):
    """OAuth 2.0, RFC 6749 section 6; a refresh token that comes with an access token takes the place of the old one."""

    kind: Literal["refresh_token"] = "refresh_token"

    @property
    def settings(self) -> tuple[Setting, ...]:
        return (
            Setting(name="client_id", description="the client's id"),
            Setting(name="client_secret", description="the client's secret", secret=True),
            Setting(
                name="refresh_token",
                description="a refresh token; where the vendor rotates it, one that nobody else uses",
                secret=True,
            ),
        )

    def form(self, values: Values, *, now: datetime) -> Mapping[str, str]:
        form = {name: values[name] for name in ("client_id", "client_secret", "refresh_token")}
        return form | {"grant_type": "refresh_token"}


class JwtBearer(Granted):
    """OAuth 2.0 by a signed assertion, RFC 7523 section 2.1, RS256. Claims may hold settings in braces."""

    kind: Literal["jwt_bearer"] = "jwt_bearer"
    issuer: SettingsText
    subject: SettingsText | None = None
    audience: SettingsText
    scope: SettingsText | None = None

    @property
    def settings(self) -> tuple[Setting, ...]:
        return (Setting(name="private_key", description="the RSA private key, PEM without a passphrase", secret=True),)

    @property
    def texts(self) -> Mapping[str, str]:
        return {**super().texts, **self._claims}

    @property
    def _claims(self) -> Mapping[str, str]:
        told = {"iss": self.issuer, "aud": self.audience, "sub": self.subject, "scope": self.scope}
        return {name: text for name, text in told.items() if text is not None}

    def form(self, values: Values, *, now: datetime) -> Mapping[str, str]:
        claims: dict[str, object] = {name: filled(text, values) for name, text in self._claims.items()}
        issued = int(now.timestamp())
        claims |= {"iat": issued, "exp": issued + _ASSERTION_S}
        assertion = signed_by_rsa(orjson.dumps(claims), rsa_key(values["private_key"]))
        return {"grant_type": _JWT_GRANT, "assertion": assertion}


class EitherGrant(Auth):
    """Several ways to an access token, of which the user chooses one by the setting `sign_in_by`.

    Only the secrets of that one have to be filled in.
    """

    kind: Literal["either_grant"] = "either_grant"
    ways: tuple[ClientCredentials | RefreshToken | JwtBearer, ...] = Field(min_length=2)

    @property
    def settings(self) -> tuple[Setting, ...]:
        asked = {setting.name: setting for way in self.ways for setting in way.settings}
        kinds: dict[str, str] = {way.kind: way.kind for way in self.ways}
        choice = Setting(name="sign_in_by", description="how to sign in", choices=kinds, default=self.ways[0].kind)
        own = [each.model_copy(update={"default": ""}) if each.secret else each for each in asked.values()]
        return (choice, *own)

    @property
    def texts(self) -> Mapping[str, str]:
        return {f"{way.kind}.{name}": text for way in self.ways for name, text in way.texts.items()}

    def chosen(self, values: Values) -> Granted:
        """The way that the settings choose."""
        return next(way for way in self.ways if way.kind == values["sign_in_by"])


AnyAuth = Annotated[
    NoAuth | Bearer | ApiKey | Basic | ClientCredentials | RefreshToken | JwtBearer | EitherGrant,
    Field(discriminator="kind"),
]
"""One of the kinds."""


def rsa_key(pem: str) -> RSAPrivateKey:
    """The key of a PEM text, whose line breaks may have become a backslash and an n.

    :raises CredentialsRefused: it is no RSA key without a passphrase.
    """
    try:
        key = load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise CredentialsRefused("private_key is no RSA key in PEM without a passphrase: paste the whole file")
    return key
