"""A model that keeps failing is left alone for a while: nobody waits for what is known not to answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

FAILURES = 3
REST = 60.0
GRAVE = 5


@dataclass
class _State:
    failures: int = 0
    open_until: float = 0.0
    probing: bool = False
    reason: str = ""


class Breaker:
    """For each model: closed (it is called), open (it is not), then one call that decides.

    A model rests `rest` seconds after three failures one after the other, and five times as long after one that only a
    person can mend (a wrong key, an unknown model).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, rest: float = REST) -> None:
        self._clock = clock
        self._rest = rest
        self._states: dict[str, _State] = {}
        self._lock = threading.Lock()

    def refuses(self, model: str) -> str:
        """Why a model is not called now; "" when it may be. Of a rested model, one caller at a time tries it."""
        with self._lock:
            state = self._states.get(model)
            if state is None or state.failures == 0 or not state.open_until:
                return ""
            left = state.open_until - self._clock()
            if left > 0:
                return f"it rests for {left:.0f} s more ({state.reason})"
            if state.probing:
                return f"another call is trying it out ({state.reason})"
            state.probing = True
            return ""

    def failed(self, model: str, reason: str, *, grave: bool = False) -> None:
        """Count a failure. `grave`: only a person can mend it."""
        with self._lock:
            state = self._states.setdefault(model, _State())
            state.failures += 1
            state.reason = reason
            if grave or state.probing or state.failures >= FAILURES:
                state.open_until = self._clock() + self._rest * (GRAVE if grave else 1)
            state.probing = False

    def succeeded(self, model: str) -> None:
        with self._lock:
            self._states.pop(model, None)

    def released(self, model: str) -> None:
        """A call ended without saying anything about the model: it was stopped."""
        with self._lock:
            if (state := self._states.get(model)) is not None:
                state.probing = False
