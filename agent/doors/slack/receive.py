"""The one way in, whichever way it came: parsed, kept, and only then acknowledged."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from agent.doors.slack.parse import Came
from agent.doors.slack.routes import SOURCE, wrong_values
from agent.pipeline.inbox import fingerprint, row_of
from agent.pipeline.intake import Intake, Kept
from agent.pipeline.services import Services

REMEMBERED = 20_000
"""Signatures of the last requests: more than come in the five minutes in which one is valid."""
log = logging.getLogger(__name__)


class Reception:
    """Keeps what came; `wake` is called when there is something new to work on."""

    def __init__(self, services: Services, wake: Callable[[], None] = lambda: None) -> None:
        self.services = services
        self._intake = Intake(services.store)
        self._wake = wake
        self._seen: OrderedDict[str, None] = OrderedDict()

    def keep(self, came: Came, *, proof: str = "") -> Future[Kept]:
        """When the future ends, the event is durable and may be acknowledged; its exception is Unavailable."""
        if proof in self._seen:  # most replays need not trouble the database; it knows those of other processes
            known: Future[Kept] = Future()
            known.set_result(Kept.REPLAY)
            return known
        row = row_of(
            source=SOURCE,
            key=came.key,
            body=came.event,
            at=self.services.wall(),
            lane=came.lane,
            urgent=came.urgent,
            proof=fingerprint(proof) if proof else "",
        )
        future = self._intake.put(row)
        future.add_done_callback(partial(self._kept, proof))
        return future

    def _kept(self, proof: str, future: Future[Kept]) -> None:
        if future.exception() is not None:
            return
        if proof:
            self._seen[proof] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        if future.result() is Kept.NEW:
            self._wake()

    def corrections(self, came: Came) -> dict[str, str]:
        """What to correct in a submitted modal, which then is not kept."""
        return wrong_values(came.event["payload"]) if came.kind == "submission" else {}

    def close(self) -> None:
        self._intake.close()
