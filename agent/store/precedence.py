"""Acknowledging goes before working: on SQLite one writer at a time, and whoever somebody waits for is the next.

SQLite lets writers poll for its lock, at pauses of up to a tenth of a second, and any of them may be the next. Within a
process these take turns instead. PostgreSQL needs none of this: its writers do not wait for each other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 1.0
"""Seconds after which the others no longer step aside: a flood must not stop the work."""


class Precedence:
    """Turns of one process at one database."""

    def __init__(self, *, needed: bool) -> None:
        self._needed = needed
        self._change = threading.Condition()
        self._taken = False
        self._expected = 0

    def expect(self, count: int) -> None:
        """So many more (or, below zero, fewer) are waiting to be kept."""
        with self._change:
            self._expected += count
            self._change.notify_all()

    @contextmanager
    def first(self) -> Iterator[None]:
        """The next turn."""
        with self._turn():
            yield

    @contextmanager
    def after(self) -> Iterator[None]:
        """A turn when nothing waits to be kept, or has waited for it long enough."""
        if self._needed:
            with self._change:
                self._change.wait_for(lambda: self._expected <= 0, LONGEST)
        with self._turn():
            yield

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._needed:
            yield
            return
        with self._change:
            mine = self._change.wait_for(lambda: not self._taken, LONGEST * 10)
            self._taken = True
        try:
            yield
        finally:
            if mine:
                with self._change:
                    self._taken = False
                    self._change.notify_all()
