"""An HTTP client without a network: answers from a script, remembers what it was asked."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeAlias

import orjson

from tailrace.connector_kit.fence import pass_fence
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse

Answer: TypeAlias = HttpResponse | Exception | Callable[[HttpRequest], HttpResponse]


class FakeHttp(HttpClient):
    """Gives each request the next answer of the script, and the last one for ever.

    An exception is raised; a function is called with the request.
    """

    def __init__(self, *answers: Answer) -> None:
        self._script = deque(answers or (answer(200),))
        self.requests: list[HttpRequest] = []

    def then(self, *answers: Answer) -> None:
        """Replace what is left of the script."""
        self._script = deque(answers)

    async def send(self, request: HttpRequest) -> HttpResponse:
        pass_fence()
        self.requests.append(request)
        given = self._script.popleft() if len(self._script) > 1 else self._script[0]
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, HttpResponse) else given(request)


def answer(status: int, body: object = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A response; a body that is not bytes becomes JSON, with its content type."""
    if isinstance(body, bytes):
        return HttpResponse(status, headers or {}, body)
    return HttpResponse(status, {"content-type": "application/json"} | dict(headers or {}), orjson.dumps(body))
