"""HTTP as a destination: batches of rows as JSON, to any service that can read them.

A request carries one batch, `{"object": "contacts", "operation": "upsert", "rows": [{...}, {...}]}`, and the header
`Idempotency-Key`, which is the same whenever a run sends the same batch again, after a crash too. What another run
sends is another batch, though its rows be the same; inserts keep their key beyond runs. Deletes go to `delete_url`, or
to the same address with `"operation": "delete"`. With a signing secret, requests are signed after Standard Webhooks.

The answer says what became of the rows. Any 2xx delivers the whole batch, unless its body is a JSON object with

- `results`: one entry for each row, in order: `{"status": "ok" | "skipped" | "rejected" | "retry"}`, and where the
  service wants to say more, `code`, `message`, `field` and, for `retry`, `retry_after_s`; or
- `errors`: the rejected rows alone: `{"index": 0, "code": "...", "message": "...", "field": "..."}`; every row that
  is not listed is delivered.

An answer of that kind that cannot be understood, HTML, and JSON that ends too early leave the batch in doubt: nothing
is taken for delivered then. With `requires_results` that holds for every answer without one of the two.

A row that is to be deleted and is not there counts as deleted: a rejection with the code NOT_FOUND or GONE, and, where
every row has a request of its own, the statuses 404 and 410.

Other statuses speak for the whole batch: 400, 409, 412, 413 and 422 refuse it for some row (the engine finds out which
by halving), 429 and 503 with `Retry-After` ask to come back, 5xx is an outage, 401 and 403 are about credentials.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from tailrace.connector_kit.answers import raise_for_status, raise_if_absent
from tailrace.connector_kit.attribution import refusal, row_outcomes
from tailrace.connector_kit.destination import Destination, Level, Object, Target, WritePlan
from tailrace.connector_kit.destination import Field as ObjectField
from tailrace.connector_kit.header_rules import SecretHeader, check_header_names
from tailrace.connector_kit.http import LONG_ANSWER_BYTES, HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.masking import all_masked, masked, secret_words
from tailrace.connector_kit.signatures import SigningSecret, signature_headers, signing_key
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import Clock, SystemClock
from tailrace.core.errors import BatchRefused, DestinationInvalid
from tailrace.core.rows import DELIVERED, Operation, RowOutcome, Verdict, rejected
from tailrace.core.syncs import SyncMode

_MODES = frozenset(
    {SyncMode.UPSERT, SyncMode.INSERT, SyncMode.UPDATE, SyncMode.DELETE, SyncMode.MIRROR, SyncMode.APPEND}
)
_TAIL = b"]}"
_ABSENT = frozenset({404, 410})
_ABSENT_CODES = frozenset({"NOT_FOUND", "GONE", "404", "410", "HTTP_404", "HTTP_410"})


def _address(text: str) -> str:
    """An address with at most the placeholder `{object}`, in path or query."""
    parts = urlsplit(text.replace("{object}", "object"))
    if not parts.hostname or parts.scheme not in {"https", "http"} or urlsplit(text).netloc != parts.netloc:
        raise ValueError("must be https://host/path; {object} may stand in the path or the query")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or a password: use bearer_token or headers")
    if parts.fragment or not text.isprintable() or re.search(r"[\s{}\\]", text.replace("{object}", "")):
        raise ValueError("must not hold spaces, control characters, a fragment, or braces but those of {object}")
    return text


_Address = Annotated[str, Field(max_length=2048), AfterValidator(_address)]
_Name = Annotated[str, Field(min_length=1, max_length=256)]


class HttpSettings(BaseModel):
    """Where batches go, what proves who sends them, and how large they may be."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: _Address = Field(description="takes the batches; {object} in it becomes the name of the object")
    delete_url: _Address | None = Field(default=None, description="takes the batches of deletes, if not `url`")
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: Mapping[str, SecretHeader] = Field(default_factory=dict, max_length=50)
    bearer_token: SecretHeader | None = None
    signing_secret: SigningSecret | None = Field(default=None, description="signs after Standard Webhooks: whsec_...")
    old_signing_secret: SigningSecret | None = Field(default=None, description="signs too, while the other is new")
    rows_per_batch: int = Field(default=500, ge=1, le=10_000)
    bytes_per_batch: int = Field(default=4_194_304, ge=65_536, le=67_108_864)
    is_idempotent: bool | None = Field(
        default=None,
        description="whether the same batch may come twice, by key or by Idempotency-Key; if not said, all but inserts",
    )
    requires_results: bool = Field(
        default=False, description="whether an answer without `results` or `errors` is wrong"
    )
    objects: tuple[_Name, ...] = Field(default=(), max_length=1000, description="offered; where empty, any is taken")

    @field_validator("headers")
    @classmethod
    def _are_free(cls, headers: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        check_header_names(headers)
        return headers

    @model_validator(mode="after")
    def _has_one_authorization(self) -> Self:
        if self.bearer_token is not None and "authorization" in map(str.lower, self.headers):
            raise ValueError("give either bearer_token or the header Authorization, not both")
        return self

    @property
    def signing_keys(self) -> Sequence[bytes]:
        """The keys that sign, the current one first."""
        secrets = (self.signing_secret, self.old_signing_secret)
        return [signing_key(secret.get_secret_value()) for secret in secrets if secret is not None]


class HttpDestination(Destination):
    """Sends batches as JSON and reads row outcomes from the answer."""

    name = "http"
    label = "HTTP"
    level = Level.BRONZE
    verified_against = "a service of its own, over real connections"
    settings_type = HttpSettings
    objects_discoverable = False
    can_leave_out = True

    def __init__(self, settings: HttpSettings, http: HttpClient, clock: Clock) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self._keys = settings.signing_keys
        self._headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._headers |= {"Content-Type": "application/json", "Accept": "application/json"}
        self._secrets = _secrets(settings)
        if settings.bearer_token is not None:
            self._headers["Authorization"] = f"Bearer {settings.bearer_token.get_secret_value()}"

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel, http: HttpClient) -> AsyncIterator[Self]:
        if not isinstance(settings, HttpSettings):
            raise TypeError(f"{cls.__name__} opens with {HttpSettings.__name__}")
        yield cls(settings, http, SystemClock())

    async def check(self) -> None:
        """Ask for the methods of the address: any answer but a redirect, a 401 or an outage shows that it is there."""
        url = _with_object(self._settings.url, next(iter(self._settings.objects), "object"))
        raise_if_absent(await self._http.send(HttpRequest("OPTIONS", url, self._headers)), now=self._clock.now())

    async def objects(self) -> Sequence[Object]:
        return [Object(name, name, _MODES) for name in self._settings.objects]

    async def fields(self, object_name: str) -> Sequence[ObjectField]:
        self._check_offered(object_name)
        return ()

    async def plan(self, target: Target) -> WritePlan:
        self._check_offered(target.object_name)
        settings, is_idempotent = self._settings, self._settings.is_idempotent
        return WritePlan(
            target=target,
            rows_per_batch=settings.rows_per_batch,
            bytes_per_batch=settings.bytes_per_batch - len(_head(target)) - len(_TAIL) - settings.rows_per_batch,
            is_idempotent=target.operation is not Operation.INSERT if is_idempotent is None else is_idempotent,
        )

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        response = await self._http.send(self._request(plan.target, batch))
        is_delete = plan.target.operation is Operation.DELETE
        # For a batch such a status speaks of the address, where each row has a request of its own it speaks of the row.
        if is_delete and plan.rows_per_batch == 1 and response.status in _ABSENT:
            return BatchResult(batch, [DELIVERED])
        if not response.is_success:
            return BatchResult(batch, [self._outcome_of_one(batch, response)])
        outcomes = row_outcomes(response, len(batch.rows), requires_results=self._settings.requires_results)
        if is_delete:
            outcomes = [DELIVERED if _is_absent(outcome) else outcome for outcome in outcomes]
        return BatchResult(batch, all_masked(outcomes, self._secrets))

    def _outcome_of_one(self, batch: Batch, response: HttpResponse) -> RowOutcome:
        """What became of the only row of a refused batch.

        :raises TailraceError: what else the status means.
        """
        try:
            raise_for_status(response, now=self._clock.now())
        except BatchRefused:
            if len(batch.rows) > 1:
                raise
        return masked(_refused(response), self._secrets)

    def _request(self, target: Target, batch: Batch) -> HttpRequest:
        body = b"".join((_head(target), b",".join(batch.bodies), _TAIL))
        headers = self._headers | {"Idempotency-Key": batch.idempotency_key}
        if self._keys:
            now = self._clock.now()
            headers |= signature_headers(self._keys, message_id=batch.idempotency_key, sent_at=now, body=body)
        settings, is_delete = self._settings, target.operation is Operation.DELETE
        template = settings.delete_url if is_delete and settings.delete_url else settings.url
        return HttpRequest(
            settings.method, _with_object(template, target.object_name), headers, body, LONG_ANSWER_BYTES
        )

    def _check_offered(self, object_name: str) -> None:
        offered = self._settings.objects
        if offered and object_name not in offered:
            raise DestinationInvalid(f"there is no object {object_name!r}; the settings offer {', '.join(offered)}")
        if object_name in {".", ".."}:
            raise DestinationInvalid(f"an object cannot be named {object_name!r}")


def _secrets(settings: HttpSettings) -> Sequence[str]:
    """Each word of what proves who we are."""
    values = [*settings.headers.values(), *([settings.bearer_token] if settings.bearer_token else [])]
    return secret_words(word for value in values for word in value.get_secret_value().split())


@lru_cache
def _head(target: Target) -> bytes:
    return orjson.dumps({"object": target.object_name, "operation": target.operation})[:-1] + b',"rows":['


@lru_cache
def _with_object(template: str, object_name: str) -> str:
    return template.replace("{object}", quote(object_name, safe=""))


def _is_absent(outcome: RowOutcome) -> bool:
    return outcome.verdict is Verdict.REJECTED and outcome.code.upper() in _ABSENT_CODES


def _refused(response: HttpResponse) -> RowOutcome:
    return rejected(f"HTTP_{response.status}", refusal(response))
