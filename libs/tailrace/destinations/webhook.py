"""Webhook: any API over HTTP, described in the settings of the connection in the words of a manifest.

Each operation is a request: method, path, headers and body with holes that rows fill, one row a request or several in a
list or as lines. What fills a hole is a value and never read again: it cannot end a text, add a field, leave its part
of the address or begin another header. How the answer speaks of rows is one of the nine ways of manifests. A delete
that finds nothing, 404 or 410 to a request for one row, is delivered. HTML where an API should answer leaves the batch
in doubt.

Every request is signed, one without a body too: after Standard Webhooks with a secret `whsec_...`, by which a batch
that is sent again is the same message, or with a header of the service's own.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from hashlib import sha256
from typing import Annotated, ClassVar, Self
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, model_validator

from tailrace.connector_kit.answers import REFUSING, raise_if_absent
from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.header_rules import SecretHeader, check_header_names
from tailrace.connector_kit.http import HttpClient, HttpRequest
from tailrace.connector_kit.manifest.addresses import PlainPath
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Condition, Then
from tailrace.connector_kit.manifest.attribution import AllOrNothing, AnyAttribution, Reason, Single
from tailrace.connector_kit.manifest.auth import AnyAuth, NoAuth
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.engine import ManifestDestination
from tailrace.connector_kit.manifest.limits import RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, HeadersHook, Hooks, Manifest, Objects
from tailrace.connector_kit.manifest.questions import Question
from tailrace.connector_kit.manifest.settings import BaseUrl, ConnectionSettings, Setting, check_value
from tailrace.connector_kit.manifest.throttles import AnyThrottle, RetryAfter, SaysNothing
from tailrace.connector_kit.manifest.writes import Ask, KeyShape, NamedKey, Write
from tailrace.connector_kit.signatures import HmacSignature, signature_headers, signing_key
from tailrace.core.clock import Clock, SystemClock
from tailrace.core.faults import said
from tailrace.core.rows import Operation

CHECKED = date(2026, 11, 22)
HTTP = "https://www.rfc-editor.org/rfc/rfc9110"
VERIFIED = "a service of its own, over real connections"

_ROWS = 100
_SUCCESS = range(200, 300)
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def _path(secret: SecretStr) -> SecretStr:
    if not _PATH.fullmatch(secret.get_secret_value()):
        raise ValueError("must be like /part/part")
    return secret


class Request(Ask):
    """One operation, as a request, with how its answer speaks of rows.

    Without `rows_at` a request is for one row. What is not said: a hundred rows where there may be several, 4 MB, the
    answer of success for every row; and that the same request may come twice, but for inserts.
    """

    headers: dict[str, str] = Field(default_factory=lambda: {"Idempotency-Key": "{batch}"})
    key: KeyShape = NamedKey()
    rows_per_request: int | None = Field(default=None, ge=1, le=10_000)
    bytes_per_request: int = Field(default=4_194_304, ge=1024, le=67_108_864)
    is_idempotent: bool | None = None
    attribution: AnyAttribution | None = None
    rules: tuple[AnswerRule, ...] = ()
    appends: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        with _saying_what():
            self.write(Operation.UPSERT)
        return self

    def write(self, operation: Operation) -> Write:
        """The operation as the engine takes it."""
        own = {name: getattr(self, name) for name in (*Ask.model_fields, "key", "appends")}
        rows = self.rows_per_request or (1 if self.rows_at is None else _ROWS)
        absent = (AnswerRule(status=(404, 410), then=Then.DELIVERED),)
        return Write(
            **own,
            max_rows=RowLimit(at_most=f"{rows} rows", source=HTTP, checked=CHECKED),
            max_size=SizeLimit(at_most=f"{self.bytes_per_request} B", source=HTTP, checked=CHECKED),
            is_idempotent=operation is not Operation.INSERT if self.is_idempotent is None else self.is_idempotent,
            attribution=self.attribution or (Single() if rows == 1 else AllOrNothing()),
            rules=self.rules + (absent if operation is Operation.DELETE and rows == 1 else ()),
        )


class Success(Condition):
    """Which answers are a success: those of these statuses, every 2xx if none is named, that meet the condition.

    Any other 2xx is what `otherwise` says.
    """

    statuses: tuple[int, ...] = ()
    otherwise: Then = Then.REFUSED

    @property
    def rules(self) -> tuple[AnswerRule, ...]:
        """The same as rules about answers."""
        good = tuple(self.statuses) or tuple(_SUCCESS)
        if self.at is None and not self.statuses:
            return ()
        taken = AnswerRule(status=good, at=self.at, holds=self.holds, exists=self.exists, then=Then.READ)
        return (taken, AnswerRule(status=tuple(_SUCCESS), then=self.otherwise))


class WebhookSettings(ConnectionSettings):
    """An API: where it is, what proves who we are, its requests, and what its answers mean."""

    base_url: BaseUrl = Field(description="what every address begins with: https://host/path")
    secret_path: Annotated[SecretStr, AfterValidator(_path)] | None = Field(
        default=None, description="a part of the address that is secret, between base_url and the paths"
    )
    check: PlainPath | None = Field(
        default=None, description="a path whose GET shows that all is well; else OPTIONS of base_url"
    )
    auth: AnyAuth = Field(default=NoAuth(), discriminator="kind")
    credentials: Mapping[str, SecretStr] = Field(
        default_factory=dict, max_length=10, description="what the kind of auth asks for by name, such as token"
    )
    headers: Mapping[str, SecretHeader] = Field(default_factory=dict, max_length=50)
    signature: HmacSignature | None = None
    signing_secret: SecretStr | None = Field(default=None, description="signs; whsec_... after Standard Webhooks")
    old_signing_secret: SecretStr | None = Field(default=None, description="whsec_..., signs too while it is replaced")
    operations: Mapping[Operation, Request] = Field(min_length=1)
    objects: Objects = Objects()
    fields_of_objects: Fields = Fields()
    encoding: Encoding = Encoding()
    success: Success = Success()
    rules: tuple[AnswerRule, ...] = ()
    throttles: tuple[AnyThrottle, ...] = (RetryAfter(), SaysNothing())
    refusal: Reason = Reason()

    @model_validator(mode="after")
    def _has_what_the_auth_asks_for(self) -> Self:
        asked = {setting.name: setting for setting in self.auth.settings}
        missing = sorted(name for name, each in asked.items() if name not in self.credentials and each.default is None)
        unknown = sorted(self.credentials.keys() - asked)
        if missing or unknown:
            told = ", ".join(asked) or "nothing"
            raise ValueError(f"credentials: the auth {self.auth.kind!r} asks for {told}, by these names")
        for name, secret in self.credentials.items():
            check_value(asked[name], secret.get_secret_value())
        return self

    @model_validator(mode="after")
    def _can_sign(self) -> Self:
        check_header_names(self.headers)
        if self.signature is not None and self.signing_secret is None:
            raise ValueError("signature: give signing_secret too")
        if self.signature is not None and self.old_signing_secret is not None:
            raise ValueError("old_signing_secret: only signatures after Standard Webhooks come twice")
        if self.signature is None:
            for secret in (self.signing_secret, self.old_signing_secret):
                signing_key(secret.get_secret_value()) if secret else None
        if self.rates:
            raise ValueError("rates: a webhook has none: set the connection's own limit of requests")
        return self

    @model_validator(mode="after")
    def _makes_a_manifest(self) -> Self:
        with _saying_what():
            manifest = described(self, SystemClock())
        if manifest.settings_of_requests:
            raise ValueError("operations: $settings is for manifests: write the value itself")
        return self

    @property
    def address(self) -> str:
        """What every address begins with, the secret part too."""
        return self.base_url + (self.secret_path.get_secret_value() if self.secret_path else "")


class WebhookDestination(ManifestDestination):
    """Does what the settings describe."""

    name = "webhook"
    label = "Webhook"
    level = Level.BRONZE
    verified_against = VERIFIED
    settings_type: ClassVar[type[WebhookSettings]] = WebhookSettings
    objects_discoverable = False

    def __init__(self, settings: WebhookSettings, http: HttpClient, clock: Clock) -> None:
        self.manifest = described(settings, clock)
        self._has_check = settings.check is not None
        super().__init__(settings.model_copy(update={"base_url": settings.address}), http, clock)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel, http: HttpClient) -> AsyncIterator[Self]:
        if not isinstance(settings, WebhookSettings):
            raise TypeError(f"{cls.__name__} opens with {WebhookSettings.__name__}")
        yield cls(settings, http, SystemClock())

    async def check(self) -> None:
        """Ask what the settings say, or for the methods: any answer but a redirect, a 401 or an outage will do then."""
        if self._has_check:
            await super().check()
            return
        asked = Question("OPTIONS", "/")
        request = HttpRequest(asked.method, f"{self._settings.base_url}{asked.path}", self._caller.headers(asked))
        response = await self._sign_in.send(request, is_expired=lambda told: told.status in REFUSING)
        raise_if_absent(response, now=self._clock.now())

    def values(self, settings: ConnectionSettings) -> Mapping[str, str]:
        if not isinstance(settings, WebhookSettings):
            raise TypeError(f"{type(self).__name__} opens with {WebhookSettings.__name__}")
        defaults = {setting.name: setting.default or "" for setting in settings.auth.settings}
        given = {name: secret.get_secret_value() for name, secret in settings.credentials.items()}
        return {**defaults, **given, "base_url": str(settings.base_url)}

    def secrets(self, settings: ConnectionSettings) -> Sequence[str]:
        if not isinstance(settings, WebhookSettings):
            return ()
        held = [*settings.headers.values(), settings.secret_path, settings.signing_secret, settings.old_signing_secret]
        return [word for secret in held if secret is not None for word in secret.get_secret_value().split()]


def described(settings: WebhookSettings, clock: Clock) -> Manifest:
    """The settings as a manifest."""
    return Manifest(
        name=WebhookDestination.name,
        label=WebhookDestination.label,
        level=WebhookDestination.level,
        verified_against=VERIFIED,
        docs=HTTP,
        checked=CHECKED,
        base_url="{base_url}",
        headers={name: secret.get_secret_value() for name, secret in settings.headers.items()},
        settings=(Setting(name="base_url", description="what every address begins with"),),
        auth=settings.auth,
        throttles=settings.throttles,
        check=settings.check or "/",
        objects=settings.objects,
        fields=settings.fields_of_objects,
        encoding=settings.encoding,
        operations={operation: request.write(operation) for operation, request in settings.operations.items()},
        rules=(*settings.rules, *settings.success.rules),
        refusal=settings.refusal,
        hooks=Hooks(headers=_signing(settings, clock)),
    )


@contextmanager
def _saying_what() -> Iterator[None]:
    """Refuse what makes no part of a manifest, without showing what was given: it may be a secret.

    :raises ValueError: with what is wrong.
    """
    told = None
    try:
        yield
    except ValidationError as error:
        told = error.errors(include_url=False, include_context=False, include_input=False)
    if told is not None:
        raise ValueError("; ".join(map(said, told)))


def _signing(settings: WebhookSettings, clock: Clock) -> HeadersHook | None:
    if settings.signing_secret is None:
        return None
    secret, signature = settings.signing_secret.get_secret_value(), settings.signature
    if signature is not None:
        return lambda asked: signature.headers(secret, sent_at=clock.now(), body=asked.body)
    secrets = (settings.signing_secret, settings.old_signing_secret)
    keys = [signing_key(each.get_secret_value()) for each in secrets if each is not None]
    return lambda asked: signature_headers(keys, message_id=_message_id(asked), sent_at=clock.now(), body=asked.body)


def _message_id(asked: Question) -> str:
    """The same for the same request of the same batch, however often it is sent; of no batch, always another."""
    told = "\n".join((asked.batch_id or uuid4().hex, asked.method, asked.path, "")).encode()
    return f"msg_{sha256(told + asked.body).hexdigest()[:32]}"
