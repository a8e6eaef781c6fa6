"""What a vendor's headers say about the requests that are left, so that nothing is sent into a certain refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.limits import Bucket, span_s
from tailrace.core.clock import Clock
from tailrace.core.errors import Throttled

_MS = 1000


@dataclass(slots=True)
class Pressure:
    """The buckets of one connection. `rates` are the account's own, by name, such as `190/10s`."""

    buckets: Sequence[Bucket]
    rates: Mapping[str, str]
    clock: Clock
    _learned: dict[str, float] = field(default_factory=dict)
    _empty_until: dict[str, float] = field(default_factory=dict)

    def requests_per_s(self, name: str | None) -> float | None:
        """The pace that a bucket allows, the quickest one if none is named; None where there is no bucket.

        By the settings, else as learned, else by the manifest.
        """
        named = [each for each in self.buckets if each.name == name]
        bucket = min(named or self.buckets, key=lambda each: each.span_s, default=None)
        if bucket is None:
            return None
        if bucket.name in self.rates:
            return int(self.rates[bucket.name].split("/")[0]) / span_s(self.rates[bucket.name])
        return self._learned.get(bucket.name, bucket.requests / bucket.span_s)

    def check(self) -> None:
        """Return if there may be requests left.

        :raises Throttled: there are none, with the time until there are.
        """
        now = self.clock.monotonic()
        for name, until in self._empty_until.items():
            if until > now:
                raise Throttled(f"the account's requests ({name}) are used up", retry_after_s=until - now)

    def learn(self, response: HttpResponse) -> None:
        """Take in what the headers of an answer say."""
        for bucket in self.buckets:
            span_ms = _number(response, bucket.span_ms)
            bucket_span_s = span_ms / _MS if span_ms else bucket.span_s
            if most := _number(response, bucket.most):
                self._learned[bucket.name] = most / bucket_span_s
            left = _number(response, bucket.left)
            if left == 0:
                self._empty_until[bucket.name] = self.clock.monotonic() + bucket_span_s
            elif left is not None:
                self._empty_until.pop(bucket.name, None)


def _number(response: HttpResponse, header: str | None) -> int | None:
    text = "" if header is None else response.headers.get(header.lower(), "")
    return int(text) if text.isascii() and text.isdigit() else None
