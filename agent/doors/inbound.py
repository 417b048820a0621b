"""The threads that work on what came from outside: at once when something comes, and once a second in any case.

What somebody waits for in front of a screen has threads of its own, so that answers of a language model, however long
they take, hold up no click.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from agent.domain.errors import WatchkeeperError
from agent.pipeline import inbox
from agent.pipeline.inbox import Handler
from agent.pipeline.services import Services

URGENT, OTHERS = 3, 4
EVERY = 1.0
HOURLY = 3600
log = logging.getLogger(__name__)


def handlers() -> dict[str, Handler]:
    """Who works on what, by source."""
    from agent.doors.slack import routes
    from agent.pipeline import outside

    return {routes.SOURCE: routes.handle, **outside.HANDLERS}


class Workers:
    """The threads of one process. `wake()` from any thread; `stop()` waits a little for what is being worked on."""

    def __init__(
        self, services: Services, known: Mapping[str, Handler], *, urgent: int = URGENT, others: int = OTHERS
    ) -> None:
        self._services, self._handlers = services, known
        self._over = threading.Event()
        self._bells = {True: threading.Semaphore(0), False: threading.Semaphore(0)}
        kinds = [True] * urgent + [False] * others
        self._threads = [
            threading.Thread(target=self._run, args=(kind,), name=f"inbox-{number}", daemon=True)
            for number, kind in enumerate(kinds)
        ]
        self._threads.append(threading.Thread(target=self._sweep, name="inbox-sweep", daemon=True))

    def start(self) -> Workers:
        for thread in self._threads:
            thread.start()
        return self

    def wake(self) -> None:
        for bell in self._bells.values():
            bell.release()

    def stop(self, *, patience: float = 2.0) -> None:
        """What is not ended by then is taken up by another process when its lease runs out."""
        self._over.set()
        for _ in self._threads:
            self.wake()
        for thread in self._threads:
            thread.join(patience / len(self._threads))

    def _run(self, urgent: bool) -> None:
        bell = self._bells[urgent]
        while not self._over.is_set():
            bell.acquire(timeout=EVERY)
            self._guarded(lambda: inbox.work_due(self._services, self._handlers, urgent=urgent))

    def _sweep(self) -> None:
        while not self._over.wait(HOURLY):
            self._guarded(lambda: inbox.forget(self._services))

    def _guarded(self, work: Callable[[], int]) -> None:
        try:
            if not self._over.is_set():
                work()
        except WatchkeeperError as error:
            log.error("inbox: %s", error)
            self._over.wait(EVERY)
        except Exception:  # the edge of the job: the thread must outlive what nobody foresaw
            log.exception("inbox")
            self._over.wait(EVERY)
