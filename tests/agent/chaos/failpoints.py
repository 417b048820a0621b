"""Places where a worker is killed: before or after a call, named. SIGKILL, in a forked child: nothing is cleaned up."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Failpoint:
    """The first call of `attribute` of `owner` (made lazily) for which `when` holds is the last thing that happens."""

    name: str
    owner: Callable[[], Any]
    attribute: str
    before: bool = False
    when: Callable[..., bool] = lambda *args, **kwargs: True

    def arm(self, deadly: signal.Signals = signal.SIGKILL) -> None:
        """From now on, in this process; `deadly` may also be SIGSTOP, after which it goes on where it was."""
        hits: list[str]
        owner, hits = self.owner(), []
        original = getattr(owner, self.attribute)

        def strike(place: str, hit: bool) -> None:
            if hit and not hits and self.before == (place == "before"):
                hits.append(place)
                os.kill(os.getpid(), deadly)

        def call(*args: Any, **kwargs: Any) -> Any:
            hit = self.when(*args, **kwargs)
            strike("before", hit)
            result = original(*args, **kwargs)
            strike("after", hit)
            return result

        setattr(owner, self.attribute, call)


def _executor() -> Any:
    from agent import executor

    return executor


def _execute() -> Any:
    from agent.pipeline import execute

    return execute


def _client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient


def _training() -> Any:
    from ml.models import training

    return training


def _step(name: str) -> Callable[..., bool]:
    return lambda services, execution, step, *rest: step == name


def _alias(name: str) -> Callable[..., bool]:
    return lambda client, model, alias, version: alias == name


ROLLBACK = (
    Failpoint("claim: written, not committed", _executor, "move_proposal"),
    Failpoint("claim: committed", _executor, "claim", when=lambda *a, **k: True),
    Failpoint("recheck: intended", _executor, "_intend", when=_step("recheck")),
    Failpoint("recheck: about to be recorded", _executor, "_record", before=True, when=_step("recheck")),
    Failpoint("recheck: recorded", _executor, "_record", when=_step("recheck")),
    Failpoint("switch: intended", _executor, "_intend", when=_step("switch")),
    Failpoint("switch: previous noted", _client, "set_registered_model_alias", when=_alias("previous")),
    Failpoint("switch: before the alias", _client, "set_registered_model_alias", True, _alias("champion")),
    Failpoint("switch: alias set, not read back", _client, "set_registered_model_alias", when=_alias("champion")),
    Failpoint("switch: done, not recorded", _executor, "_record", before=True, when=_step("switch")),
    Failpoint("switch: recorded", _executor, "_record", when=_step("switch")),
    Failpoint("end: before our own records", _executor, "finish", before=True),
    Failpoint("end: our own records written, not committed", _executor, "finish"),
    Failpoint("end: incident moved, not committed", _executor, "move_incident"),
    Failpoint("end: committed", _executor, "_end"),
)

RETRAIN = (
    Failpoint("data: checked, not recorded", _executor, "_record", before=True, when=_step("check_data")),
    Failpoint("data: recorded", _executor, "_record", when=_step("check_data")),
    Failpoint("train: intended", _executor, "_intend", when=_step("train")),
    Failpoint("train: fitted, nothing logged", _execute, "train_apart"),
    Failpoint("train: run begun", _client, "create_run"),
    Failpoint("train: files half logged", _client, "log_artifacts"),
    Failpoint("train: numbers logged", _client, "log_batch"),
    Failpoint("train: marked complete", _client, "set_tag"),
    Failpoint("train: run ended, not registered", _training, "_log"),
    Failpoint("train: registered, nobody told", _client, "create_model_version"),
    Failpoint("train: done, not recorded", _executor, "_record", before=True, when=_step("train")),
    Failpoint("train: recorded", _executor, "_record", when=_step("train")),
    Failpoint("evaluate: done, not recorded", _executor, "_record", before=True, when=_step("evaluate")),
    Failpoint("evaluate: recorded", _executor, "_record", when=_step("evaluate")),
    *ROLLBACK[5:],
)
