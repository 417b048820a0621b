"""Acknowledging goes before working: on SQLite one writer at a time, and whoever somebody waits for is the next.

SQLite lets writers poll for its lock, at pauses of up to a tenth of a second, and any of them may be the next. Within a
process these take turns instead. PostgreSQL needs none of this: its writers do not wait for each other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONGEST = 1.0
"""Seconds without a turn of the others, after which one of them goes between two of the first: a flood must not stop
the work."""
PATIENCE = 10.0
"""Seconds after which a turn is taken without having been given."""


class Precedence:
    """Turns of one process at one database."""

    def __init__(self, *, needed: bool) -> None:
        self._needed = needed
        self._change = threading.Condition()
        self._taken = False
        self._expected = 0
        self._behind = 0
        self._owed = False
        self._worked = 0.0

    def expect(self, count: int) -> None:
        """So many more (or, below zero, fewer) are waiting to be kept."""
        with self._change:
            self._expected += count
            self._change.notify_all()

    @contextmanager
    def first(self) -> Iterator[None]:
        """The next turn."""
        if not self._needed:
            yield
            return
        with self._change:
            given = self._wait(lambda: not (self._behind and self._overdue()))
            self._owed = True
        with self._turn(given):
            yield

    @contextmanager
    def after(self) -> Iterator[None]:
        """A turn when nothing waits to be kept; or between two turns of those, when none of us had one for long."""
        if not self._needed:
            yield
            return
        with self._change:
            self._behind += 1
            given = self._wait(lambda: self._expected <= 0 or self._overdue())
            self._behind -= 1
            self._owed, self._worked = False, time.monotonic()
        with self._turn(given):
            yield

    def _overdue(self) -> bool:
        """Whether one of those who step aside is to go before the next of the first."""
        return self._owed and time.monotonic() >= self._worked + LONGEST

    def _wait(self, may_be_mine: Callable[[], bool]) -> bool:
        """Whether the turn was given; after PATIENCE it is taken all the same."""
        given = self._change.wait_for(lambda: not self._taken and may_be_mine(), PATIENCE)
        self._taken = True
        return given

    @contextmanager
    def _turn(self, given: bool) -> Iterator[None]:
        try:
            yield
        finally:
            if given:
                with self._change:
                    self._taken = False
                    self._change.notify_all()
