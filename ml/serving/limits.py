"""How much one request, one caller and all of them together may ask for."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ml.serving.problems import Refused


@dataclass(frozen=True, slots=True)
class Limits:
    """most_bytes, most_rows: of one request. seconds: to answer it. at_once: requests that are being answered.
    per_second: requests of one caller, 0 for no such limit; twice as many may come in one burst. job_bytes: of the body
    of a job, which is kept on disk. patience: seconds that a request waits for a model that is about to be served.
    """

    most_bytes: int = 16 * 1024 * 1024
    most_rows: int = 50_000
    seconds: float = 30.0
    at_once: int = 256
    per_second: float = 0.0
    patience: float = 2.0
    job_bytes: int = 1024 * 1024 * 1024


class Tokens:
    """Bearer tokens, kept as hashes. Without any, everybody who reaches the port may ask."""

    def __init__(self, tokens: tuple[str, ...] = ()) -> None:
        self._hashes = frozenset(_hash(token.encode()) for token in tokens)

    @property
    def needed(self) -> bool:
        return bool(self._hashes)

    def caller(self, authorization: bytes | None) -> str | None:
        """A short name of who asks, from their token; None where no tokens are set. Raises: Refused (401)."""
        if not self._hashes:
            return None
        kind, _, token = (authorization or b"").partition(b" ")
        hashed = _hash(token.strip())
        if kind.lower() != b"bearer" or hashed not in self._hashes:
            raise Refused(
                401,
                "unauthenticated",
                "A valid token is needed: send the header `Authorization: Bearer TOKEN`.",
                headers={"www-authenticate": "Bearer"},
            )
        return hashed[:12]


def _hash(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


class Rate:
    """A bucket of tokens for each caller; the callers of longest ago are forgotten."""

    KEPT = 10_000

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._most = max(2 * per_second, 1.0)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Raises: Refused (429) with the time to wait."""
        if self._rate <= 0:
            return
        now = self._clock()
        left, since = self._buckets.pop(caller, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        self._buckets[caller] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > self.KEPT:
            self._buckets.popitem(last=False)
        if left < 1:
            wait = (1 - left) / self._rate
            raise Refused(
                429,
                "too many requests",
                f"More than {self._rate:g} requests a second; wait {wait:.1f} s.",
                headers={"retry-after": str(max(1, round(wait + 0.5)))},
            )
