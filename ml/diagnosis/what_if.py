"""What would the recent labelled rows have looked like under one action? Asked by a person; logs and changes nothing.

Where a diagnosis weighs losses, this answers in the model's own metric, with a paired block bootstrap over consecutive
rows (Künsch 1989, Annals of Statistics 17).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.diagnosis import trial
from ml.diagnosis.causes import Act
from ml.errors import DataError, InvalidInput
from ml.metrics import Floats, metric, metric_interval, probability, row_loss
from ml.models.predictor import Predictor
from ml.results import Interval
from ml.spec import ModelSpec, Task

MOST_ROWS, MIN_ROWS = 2000, 60
DRAWS, BLOCKS = 200, 40


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The metric before and after, and its change with a 95 % interval; likewise the mean loss of a row."""

    n: int
    before: float
    after: float
    interval: Interval | None
    loss_before: float
    loss_after: float
    loss_interval: Interval | None


def what_if(
    spec: ModelSpec,
    act: Act,
    frame: pd.DataFrame,
    *,
    base: pd.DataFrame | None = None,
    model: Predictor | None = None,
    seed: int = 0,
) -> WhatIf:
    """Try `act` on the labelled rows of `frame`, in order of time (at most the last 2,000 of them).

    base: healthy rows that a retraining learns from too, without those of `frame`. model: the version to go back to.
    Raises: DataError with fewer than 60 rows or where the recipe cannot be fitted; InvalidInput for an action that the
    task does not have.
    """
    rows = frame.tail(MOST_ROWS).reset_index(drop=True)
    if len(rows) < MIN_ROWS:
        raise DataError(
            f"{len(rows)} recent rows of {spec.name!r} have a label; {MIN_ROWS} are needed to try an action."
        )
    after = rows.assign(**_answers(spec, act, rows, base, model, seed)) if act is not Act.NO_ACTION else rows
    before_loss, after_loss = row_loss(spec, rows), row_loss(spec, after)
    before, now = metric(spec, rows), metric(spec, after)
    if act is Act.NO_ACTION:
        _, spread = metric_interval(spec, rows, spec.metric)
        loss = float(before_loss.mean())
        return WhatIf(len(rows), before, now, spread, loss, loss, None)
    changes = np.array([_change(spec, rows, after, before_loss, after_loss, take) for take in _draws(len(rows), seed)])
    return WhatIf(
        len(rows),
        before,
        now,
        _interval(changes[:, 0]),
        float(before_loss.mean()),
        float(after_loss.mean()),
        _interval(changes[:, 1]),
    )


def _answers(
    spec: ModelSpec, act: Act, rows: pd.DataFrame, base: pd.DataFrame | None, model: Predictor | None, seed: int
) -> dict[str, Floats]:
    if act is Act.ROLLBACK and model is not None:
        found: pd.DataFrame | None = trial.answer(spec, model, rows, probability(spec, rows) is not None)
    elif act is Act.RETRAIN and base is not None:
        past = base.tail(max(min(MOST_ROWS, trial.MOST_CELLS // len(spec.used_features)), trial.LEAST_ROWS))
        found = trial.out_of_fold(spec, past, rows, seed)
    elif act is Act.RECALIBRATE:
        if spec.task is not Task.BINARY:
            raise InvalidInput(f"{spec.name!r} is not a binary model; only the scores of one can be recalibrated.")
        found = trial.recalibrated(spec, rows)
    else:
        raise InvalidInput(f"{act} cannot be tried this way.")
    if found is None:
        raise DataError(
            f"{spec.name!r} logged no scores, or too few of one class, on its recent rows: nothing to refit."
        )
    return {"prediction": found["prediction"].to_numpy(), "score": found["score"].to_numpy()}


def _draws(n: int, seed: int) -> list[np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Rows drawn as whole blocks of consecutive rows, again and again."""
    blocks = np.array_split(np.arange(n), min(BLOCKS, n))
    rng = np.random.default_rng(seed)
    return [np.concatenate([blocks[i] for i in rng.integers(0, len(blocks), len(blocks))]) for _ in range(DRAWS)]


def _change(
    spec: ModelSpec,
    rows: pd.DataFrame,
    after: pd.DataFrame,
    before_loss: Floats,
    after_loss: Floats,
    take: np.ndarray[tuple[int], np.dtype[np.intp]],
) -> tuple[float, float]:
    moved = metric(spec, after.iloc[take]) - metric(spec, rows.iloc[take])
    return moved, float(after_loss[take].mean() - before_loss[take].mean())


def _interval(values: Floats) -> Interval | None:
    known = values[np.isfinite(values)]
    if len(known) < DRAWS // 2:
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(float(low), float(high))
