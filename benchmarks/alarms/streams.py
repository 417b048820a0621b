"""Healthy streams with the jitter that real ones have, one day after another; and a model that gets worse.

Synthetic: columns of every type; from day to day the means, the shares of categories, the shares of missing values, the
number of rows and the error of the model move a little, partly from one day to the next (autoregressive). Real: rows of
the shipped data sets with the answers of a model fitted on other rows, drawn anew each day with weights tilted in a
random direction of the features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from ml.spec import ModelSpec, parse_spec

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LATE = timedelta(days=1)
REFERENCE_DAYS = 20
KINDS = ("steady", "jitter", "wander", "hearts", "bikes")
Days = Callable[[int, int, float], pd.DataFrame]

SPEC = """
name: stream
task: binary
metric: roc_auc
label_delay: 1d
window: {window}
features:
  income: {{type: numeric}}
  amount: {{type: numeric}}
  balance: {{type: numeric}}
  visits: {{type: numeric}}
  region: {{type: categorical}}
  shop: {{type: categorical}}
  member: {{type: boolean}}
  rare: {{type: boolean}}
  opened: {{type: datetime}}
  note: {{type: text}}
"""


@dataclass(frozen=True)
class Stream:
    """reference: healthy rows before `START`. day(k, rows, harm): the rows of day k, with `harm` more error."""

    spec: ModelSpec
    reference: pd.DataFrame
    day: Days


def stream(kind: str, seed: int, *, per_day: int = 500, window: str = "7d", jitter: float = 1.0) -> Stream:
    """A stream of a kind; equal seeds give equal rows."""
    if kind in ("hearts", "bikes"):
        return _real(kind, seed, per_day, window, jitter)
    return _synthetic(kind, seed, per_day, window, 0.0 if kind == "steady" else jitter)


def _synthetic(kind: str, seed: int, per_day: int, window: str, jitter: float) -> Stream:
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    spec = parse_spec(SPEC.format(window=window))
    keep = 0.7 if kind == "wander" else 0.0
    state = np.zeros(8)
    shops = 1 / np.arange(1, 301) ** 0.8
    regions = np.array([0.5, 0.25, 0.15, 0.1])
    names = np.array([f"shop {k}" for k in range(300)], dtype=object)
    texts = np.array(["pays late", "pays in time", "moved house", "asked for a loan", "new card"], dtype=object)

    def day(k: int, rows: int, harm: float = 0.0) -> pd.DataFrame:
        nonlocal state
        state = keep * state + np.sqrt(1 - keep**2) * rng.normal(size=8)
        move = 0.12 * jitter * state
        weekday = 1.0 if jitter == 0 or (k % 7) < 5 else 0.75
        n = max(int(rows * weekday * np.exp(0.15 * jitter * rng.normal())), 20)
        mix = regions * np.exp(0.12 * jitter * rng.normal(size=4))
        shop = shops * np.exp(0.1 * jitter * rng.normal(size=300))
        income, amount = rng.normal(move[0], 1, n), rng.lognormal(move[1], 1, n)
        balance, visits = rng.standard_t(3, n) + move[2], rng.poisson(2 * np.exp(0.5 * move[3]), n).astype(float)
        at = pd.Timestamp(START) + pd.Timedelta(days=k) + pd.to_timedelta(np.sort(rng.random(n)) * 86_399, unit="s")
        missing = rng.random(n) < 0.1 * np.exp(move[4])
        score = 1 / (1 + np.exp(-(2.2 * income + 0.5 * np.log(amount) - 0.5)))
        # as well calibrated as the day lets it be
        chance = 1 / (1 + np.exp(-np.log(score / (1 - score)) - 0.8 * move[5]))
        label = rng.random(n) < chance
        error = float(((score > 0.5) != label).mean())
        label = np.where(rng.random(n) < harm / max(1 - 2 * error, 0.1), ~label, label)
        return _frame(
            spec, k, at,
            {
                "income": income, "amount": np.where(missing, np.nan, amount), "balance": balance, "visits": visits,
                "region": np.array(["n", "s", "e", "w"], dtype=object)[rng.choice(4, n, p=mix / mix.sum())],
                "shop": names[rng.choice(300, n, p=shop / shop.sum())],
                "member": pd.array(rng.random(n) < 0.4, dtype="boolean"),
                "rare": pd.array(rng.random(n) < 0.003, dtype="boolean"),
                "opened": at - pd.to_timedelta(rng.exponential(300, n) * 86_400, unit="s"),
                "note": texts[rng.integers(0, 5, n)],
            },
            score, label.astype(int),
        )  # fmt: skip

    reference = pd.concat([day(k, per_day) for k in range(-REFERENCE_DAYS - 30, -30)], ignore_index=True)
    return Stream(spec, reference, day)


def _frame(
    spec: ModelSpec, k: int, at: pd.DatetimeIndex, columns: dict[str, object], score: object, label: object
) -> pd.DataFrame:
    at = at.as_unit("us")
    frame = pd.DataFrame({"prediction_id": [f"{k}-{i}" for i in range(len(at))], "timestamp": at, **columns})
    if "opened" in frame:
        frame["opened"] = pd.DatetimeIndex(frame["opened"]).as_unit("us")
    answer = np.asarray(score, np.float64)
    number = spec.task == "regression"
    return frame.assign(
        prediction=answer if number else (answer > 0.5).astype(int).astype(str).astype(object),
        score=np.nan if number else answer,
        model_version="1",
        label=label if number else np.asarray(label).astype(str).astype(object),
        label_timestamp=at + LATE,
    )


@lru_cache(maxsize=4)
def _answered(kind: str) -> tuple[ModelSpec, pd.DataFrame]:
    """Rows of a data set with out-of-fold answers, and their features as standardised numbers for the tilt."""
    from ml.data.datasets import load, sample_spec
    from ml.models import recipes

    name = {"hearts": "heart-disease", "bikes": "bike-demand"}[kind]
    spec, rows = sample_spec(name), load(name)
    rows = rows.sample(frac=1, random_state=0).reset_index(drop=True)
    spec = spec.model_copy(update={"entity": None, "segments": (), "trainer": "sklearn:RandomForestClassifier"})
    if spec.task == "regression":
        spec = spec.model_copy(update={"trainer": "sklearn:HistGradientBoostingRegressor", "tolerance": None})
    parts = []
    for fold in range(3):
        train, test = rows[rows.index % 3 != fold], rows[rows.index % 3 == fold]
        stamped = train.assign(timestamp=pd.Timestamp(START) + pd.to_timedelta(np.arange(len(train)), unit="s"))
        answers = recipes.fit(spec, stamped).predict(test.assign(timestamp=pd.Timestamp(START)))
        parts.append(test.assign(prediction=answers["prediction"], score=answers["score"]))
    return spec, pd.concat(parts, ignore_index=True)


def _real(kind: str, seed: int, per_day: int, window: str, jitter: float) -> Stream:
    spec, rows = _answered(kind)
    spec = spec.model_copy(update={"label_delay": LATE, "window": timedelta(days=int(window[:-1]))})
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    numeric = rows[[name for name, f in spec.features.items() if f.type == "numeric"]]
    z = ((numeric - numeric.mean()) / numeric.std()).fillna(0.0).clip(-3, 3).to_numpy()

    def day(k: int, count: int, harm: float = 0.0) -> pd.DataFrame:
        n = max(int(count * np.exp(0.15 * jitter * rng.normal())), 20)
        weight = np.exp(0.12 * jitter * (z @ rng.normal(size=z.shape[1])) / np.sqrt(z.shape[1]) * 1.5)
        drawn = rows.iloc[rng.choice(len(rows), n, p=weight / weight.sum())].reset_index(drop=True)
        at = pd.Timestamp(START) + pd.Timedelta(days=k) + pd.to_timedelta(np.sort(rng.random(n)) * 86_399, unit="s")
        label = drawn["label"].to_numpy()
        columns = {name: drawn[name] for name in spec.features}
        if spec.task == "regression":
            return _frame(spec, k, at, columns, drawn["prediction"], label + harm * rng.choice([-1, 1], n))
        wrong = float((drawn["prediction"].astype(str) != drawn["label"].astype(str)).mean())
        label = np.where(rng.random(n) < harm / max(1 - 2 * wrong, 0.1), 1 - label, label)
        return _frame(spec, k, at, columns, drawn["score"], label)

    reference = pd.concat([day(k, per_day) for k in range(-REFERENCE_DAYS - 30, -30)], ignore_index=True)
    return Stream(spec, reference, day)
