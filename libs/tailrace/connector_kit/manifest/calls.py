"""Requests by a manifest: with its address and credentials, and with what it says of an answer as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from tailrace.connector_kit.answers import raise_for_status
from tailrace.connector_kit.http import HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.addresses import filled
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then, meaning_of
from tailrace.connector_kit.manifest.encoding import dumped
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.parts import read_json
from tailrace.connector_kit.manifest.pressure import Pressure
from tailrace.connector_kit.manifest.questions import JSON, Question
from tailrace.connector_kit.manifest.sign_in import SignIn
from tailrace.connector_kit.manifest.throttles import wait_of
from tailrace.connector_kit.manifest.writes import Method
from tailrace.core.clock import Clock
from tailrace.core.errors import (
    BatchRefused,
    CredentialsRefused,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    TailraceError,
    Throttled,
)

_SUCCESS = range(200, 300)


class RefusedWith(BatchRefused):
    """A refused batch, with the answer that refused it."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(f"the destination refuses the batch: HTTP {response.status}")
        self.response = response


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no failure of the call: its document, and whether it speaks of rows.

    `refusal` is what to raise if it refuses and then names no row.
    """

    document: object
    speaks_of_rows: bool
    refusal: RefusedWith | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Caller:
    """Sends the requests of one connection. `base_url` is the settings' own address, if they have one."""

    manifest: Manifest
    sign_in: SignIn
    pressure: Pressure
    clock: Clock
    base_url: str | None

    async def ask(self, path: str, body: Mapping[str, object] | None = None) -> object:
        """The document of a good answer to a GET, or to a POST of the body.

        :raises DestinationUnavailable: there is none, also where a write would be in doubt.
        :raises CredentialsRefused, DestinationInvalid: by what the answer means.
        """
        try:
            asked = self.send("GET", path) if body is None else self.send("POST", path, dumped(body))
            return (await asked).document
        except InDoubt as error:
            raise DestinationUnavailable(error.message) from error
        except BatchRefused as error:
            raise DestinationInvalid(f"the destination refuses the question {path.partition('?')[0]}") from error

    async def send(self, method: Method, path: str, body: bytes = b"", *, media: str = JSON) -> Answer:
        """Send a request and judge its answer, as `request` does."""
        return await self.request(Question(method, path, body, media))

    async def request(self, asked: Question, *, rules: Sequence[AnswerRule] = ()) -> Answer:
        """Send a request and judge its answer, first by its own rules, then by those of the manifest.

        :raises RefusedWith: the answer refuses some row; nothing was applied.
        :raises TailraceError: what else an answer can mean for a batch.
        """
        self.pressure.check()
        url = (self.base_url or await self.sign_in.base_url() or self._address()) + asked.path
        response = await self.sign_in.send(
            HttpRequest(asked.method, url, self.headers(asked), asked.body, asked.takes_bytes),
            is_expired=lambda told: self._meaning(told, rules) is Then.SIGN_IN,
        )
        self.pressure.learn(response)
        meaning = self._meaning(response, rules)
        if meaning not in {Then.READ, Then.DELIVERED}:
            raise self._failure(meaning, response)
        refusal = RefusedWith(response) if response.status >= HTTPStatus.BAD_REQUEST else None
        return Answer(read_json(response.body), meaning is Then.READ, refusal, response.body)

    def headers(self, asked: Question) -> Mapping[str, str]:
        """The headers of a request, but for those that show the credentials."""
        content = {"Content-Type": asked.media} if asked.body else {}
        hook = self.manifest.hooks.headers
        own = {} if hook is None else hook(asked)
        accept = JSON if asked.body else asked.media
        return {"Accept": accept, **content, **self.manifest.headers, **asked.headers, **own}

    def _address(self) -> str:
        return filled(self.manifest.base_url, self.sign_in.values)

    def _meaning(self, response: HttpResponse, rules: Sequence[AnswerRule]) -> Then:
        told = meaning_of((*rules, *self.manifest.rules), response)
        if told is None and response.status == HTTPStatus.UNAUTHORIZED:
            return Then.SIGN_IN
        if told is not None:
            return told
        if response.status in _SUCCESS and "html" in response.headers.get("content-type", ""):
            return Then.IN_DOUBT
        try:
            raise_for_status(response, now=self.clock.now())
        except TailraceError as error:
            return next(then for kind, then in _MEANINGS.items() if isinstance(error, kind))
        return Then.READ

    def _failure(self, meaning: Then, response: HttpResponse) -> TailraceError:
        told = f"HTTP {response.status}"
        match meaning:
            case Then.THROTTLED:
                wait_s = wait_of(self.manifest.throttles, response, now=self.clock.now())
                return Throttled(f"the destination is busy: {told}", retry_after_s=wait_s)
            case Then.LATER:
                return DestinationUnavailable(f"the destination is out of order: {told}")
            case Then.SIGN_IN | Then.CREDENTIALS:
                return CredentialsRefused(f"the destination refuses the credentials ({told}): put valid ones in")
            case Then.REFUSED:
                return RefusedWith(response)
            case Then.IN_DOUBT:
                return InDoubt(f"the answer leaves open what was applied: {told}")
        return DestinationInvalid(f"the destination does not take this request ({told}): check the settings")


# The order matters: a throttle is a kind of outage.
_MEANINGS: Mapping[type[TailraceError], Then] = {
    Throttled: Then.THROTTLED,
    DestinationUnavailable: Then.LATER,
    CredentialsRefused: Then.CREDENTIALS,
    BatchRefused: Then.REFUSED,
    DestinationInvalid: Then.INVALID,
}
