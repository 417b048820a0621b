"""How much one caller may ask in a while: a bucket of tokens for each, in bounded memory.

Each process counts for itself: N replicas let through up to N times as much.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from agent.domain.errors import TooMany

MOST_CALLERS = 10_000


class Limits:
    """`burst` at once, then `rate` a second, for each caller; who was silent longest is forgotten first.

    A caller who is forgotten starts with a full bucket, which is what silence would have given back anyway unless more
    than `most` others asked meanwhile.
    """

    def __init__(
        self, rate: float, burst: int, *, most: int = MOST_CALLERS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self.most, self.clock = rate, burst, most, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, caller: str, *, free: bool = False) -> None:
        """Raises: TooMany, saying in how many seconds there is room again."""
        if free or not self.rate:
            return
        with self._lock:
            now = self.clock()
            left, at = self._left.pop(caller, (float(self.burst), now))
            left = min(self.burst, left + (now - at) * self.rate)
            enough = left >= 1
            self._left[caller] = (left - 1 if enough else left, now)
            while len(self._left) > self.most:
                self._left.popitem(last=False)
        if not enough:
            wait = max(ceil((1 - left) / self.rate), 1)
            raise TooMany(f"Too many requests; try again in {wait} s.", wait)

    def __len__(self) -> int:
        return len(self._left)
