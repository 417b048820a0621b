"""Try an action in memory for somebody who asks. Reads rows and versions; logs and changes nothing, trains nothing that
lasts. One trial at a time in a process, and nobody waits longer than a minute for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLong
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, DataError, InvalidInput, NotFound
from agent.pipeline.reference import healthy_history, without_harmed
from agent.pipeline.services import Services
from agent.store import queries
from ml.models.registry import CHAMPION
from ml.results import Window
from ml.spec import ModelSpec
from tools.context import Caller, Found

MOST_SECONDS = 60.0
MOST_ROWS = 20_000
ACTIONS = ("retrain", "rollback", "recalibrate", "do_nothing")
_one_at_a_time = threading.Lock()


class MemoryTrials:
    """`tools.context.Trials` for one caller."""

    def __init__(self, services: Services, caller: Caller, seconds: float = MOST_SECONDS) -> None:
        self.services, self.caller, self.seconds = services, caller, seconds

    def what_if(self, model: str, action: str, to_version: str | None) -> Found:
        """The model's metric under an action. Raises: NotFound, InvalidInput, Conflict when another trial runs."""
        with self.services.store.read() as session:
            if not self.caller.sees(model):
                raise NotFound(f"There is no model {model[:80]!r} that you may see.")
            spec = queries.spec_of(session, model)
        _check(spec, action, to_version)
        if not _one_at_a_time.acquire(blocking=False):
            raise Conflict("Another trial runs in this process; ask again in a minute.")
        return _within(self.seconds, lambda: _try(self.services, spec, action, to_version))


def _check(spec: ModelSpec, action: str, to_version: str | None) -> None:
    if action not in ACTIONS:
        raise InvalidInput(f"action: {action[:40]!r} cannot be tried; use {', '.join(ACTIONS)}.")
    if to_version is not None and action != "rollback":
        raise InvalidInput("to_version goes with a rollback only; leave it out.")
    if action == "recalibrate" and spec.task != "binary":
        raise InvalidInput(f"{spec.name!r} is not a binary model; only the scores of one can be recalibrated.")


def _within(seconds: float, work: Callable[[], Found]) -> Found:
    """The result of work that holds the lock; the lock is free when the work has ended, whoever still waits for it."""
    done: Future[Found] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as problem:  # noqa: BLE001 (handed to who waits)
            done.set_exception(problem)
        finally:
            _one_at_a_time.release()

    threading.Thread(target=run, name="what-if", daemon=True).start()
    try:
        return done.result(seconds)
    except TooLong:
        raise Conflict(f"The trial took longer than {seconds:.0f} s and was given up; nothing was changed.") from None


def _try(services: Services, spec: ModelSpec, action: str, to_version: str | None) -> Found:
    from ml.diagnosis.causes import Act
    from ml.diagnosis.what_if import what_if
    from ml.metrics import labelled

    champion = services.registry.alias(spec.name, CHAMPION)
    with services.store.read() as session:
        now = last_seen(services, session, spec)
        window = Window(now - spec.label_delay - spec.window, now)
        read = services.log.read(spec, window, as_of=now, most=MOST_ROWS)
        frame = labelled(without_harmed(session, spec, read))
        base = labelled(healthy_history(services, session, spec, window.start)) if action == "retrain" else None
        earlier = to_version or _before(queries.deployments(session, spec.name), champion)
    about: dict[str, Any] = {"window": (window.start, window.end)}
    model = None
    if action == "rollback":
        if earlier is None:
            return Found(
                missing=f"{spec.name} has no earlier version to go back to; name one as `to_version`.", **about
            )
        services.registry.version(spec.name, earlier)
        model = services.registry.load(spec.name, earlier, spec)
    act = Act.NO_ACTION if action == "do_nothing" else Act(action)
    try:
        found = what_if(spec, act, frame, base=base, model=model)
    except DataError as problem:
        return Found({"n": len(frame)}, missing=str(problem), n=len(frame), **about)
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    loss_low, loss_high = (found.loss_interval.low, found.loss_interval.high) if found.loss_interval else (None, None)
    nothing = action == "do_nothing"
    data = {
        "action": action,
        "model": spec.name,
        "metric": spec.metric,
        "better": "higher" if spec.higher_is_better else "lower",
        "before": found.before,
        "after": found.after,
        "difference": found.after - found.before,
        "low": 0.0 if nothing else low,
        "high": 0.0 if nothing else high,
        "loss": {
            "before": found.loss_before,
            "after": found.loss_after,
            "difference": found.loss_after - found.loss_before,
            "low": loss_low,
            "high": loss_high,
        },
        "n": found.n,
        "champion": champion,
        "to_version": earlier if action == "rollback" else None,
        "note": _NOTES[action],
    }
    if nothing and found.interval:
        data |= {"before_low": low, "before_high": high}
    return Found(data, n=found.n, unit=spec.metric, **about)


_NOTES = {
    "retrain": "fitted in memory on healthy and recent rows, judged on rows that it was not fitted on; an ordinary "
    "retraining gains something from more data too",
    "rollback": "the earlier version answered the same rows again",
    "recalibrate": "scores refitted out of fold; a metric of classes does not change by it, the loss may",
    "do_nothing": "the answers as they were served",
}


def last_seen(services: Services, session: Session, spec: ModelSpec) -> datetime:
    """The end of the model's latest look, else now: what is recent for a model is what was last seen of it."""
    now, run = services.now(session), queries.latest_run(session, spec.name)
    return now if run is None else min(now, run.window_end)


def _before(ledger: list[dict[str, Any]], champion: str | None) -> str | None:
    """The version that answered before the champion, by the ledger."""
    return next((entry["version"] for entry in reversed(ledger) if entry["version"] != champion), None)
