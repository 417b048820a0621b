"""The models at hand and what they answer: who serves, who served before, and whether the served answers are theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.diagnosis.repair import Break
from ml.diagnosis.scene import onset_row
from ml.metrics import Floats, as_class
from ml.models.predictor import Predictor
from ml.spec import ModelSpec, Task

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A version that went live: the current rows from `start` on are (or may be) its own."""

    version: str
    moment: pd.Timestamp | None
    start: int
    before: str | None


def rollouts(
    reference: pd.DataFrame, history: pd.DataFrame, current: pd.DataFrame, ledger: pd.DataFrame
) -> list[Rollout]:
    """Deployments that the current rows can show, latest last: from the ledger, and from the versions in the rows."""
    found: list[Rollout] = []
    if len(current) == 0:
        return found
    times = current["timestamp"]
    versions = current["model_version"].astype(object)
    earlier = pd.concat([reference["model_version"], history["model_version"]]).dropna()
    last = str(earlier.iloc[-1]) if len(earlier) else None
    if times.notna().all() and len(ledger):
        length = times.iloc[-1] - times.iloc[0]
        for moment, version in zip(ledger["timestamp"], ledger["version"], strict=True):
            start = int(times.searchsorted(moment))
            if start >= len(current) or moment < times.iloc[0] - length:
                continue
            prior = versions.iloc[:start].dropna()
            before = str(prior.iloc[-1]) if len(prior) else last
            if before != str(version):
                found.append(Rollout(str(version), moment, start, before))
    named = versions.notna().to_numpy()
    sequence = versions[named].astype(str).to_numpy()
    places = np.flatnonzero(named)
    previous = last
    for at, version in zip(places, sequence, strict=True):
        if version != previous:
            if previous is not None and not any(r.version == version and abs(r.start - at) <= 3 for r in found):
                moment = times.iloc[at]
                found.append(Rollout(version, None if pd.isna(moment) else moment, int(at), previous))
            previous = version
    return sorted(found, key=lambda r: r.start)


@dataclass(frozen=True, slots=True)
class Skew:
    """Served answers that differ from the model's answers to the logged inputs, on `share` of the rows from `start`."""

    share: float
    usual: float
    start: int
    n: int
    rows: Mask


def skew(
    spec: ModelSpec, model: Predictor, healthy: pd.DataFrame, current: pd.DataFrame, breaks: list[Break]
) -> Skew | str | None:
    """The skew; None where there is none; a sentence where it cannot be checked."""
    mine = (current["model_version"].astype(object) == model.version).to_numpy() & current[
        "prediction"
    ].notna().to_numpy()
    if mine.sum() < 20:
        return f"no current rows say that version {model.version!r} served them"
    odd = np.zeros(len(current), dtype=bool)
    odd[mine] = mismatch(spec, current[mine], model.predict(current[mine]))
    past = healthy[(healthy["model_version"].astype(object) == model.version) & healthy["prediction"].notna()].tail(500)
    before = mismatch(spec, past, model.predict(past)) if len(past) >= 20 else np.zeros(0, dtype=bool)
    places = np.flatnonzero(mine)
    start = int(places[onset_row(odd[mine])])
    share = float(odd[places[places >= start]].mean())
    known = np.concatenate([before, odd[places[places < start]]])
    if share < 0.05:
        return None
    if len(known) < 20:
        differ = f"{share:.0%} of the served answers differ from those of version {model.version!r}"
        return f"{differ}, and no earlier rows say whether they ever agreed"
    usual = float(known.mean())
    if usual > 0.2 or share < usual + 0.05:
        never = f"the given model never reproduced what version {model.version!r} served"
        return f"{never} ({usual:.0%} of earlier answers differ)"
    return Skew(share, usual, start, int(mine.sum()), odd)


def imitated_skew(
    spec: ModelSpec, imitation: Predictor, healthy: pd.DataFrame, current: pd.DataFrame, start: int
) -> Skew:
    """Rows whose served answer is further from the imitation's than nearly all healthy ones; from `start` on, or from
    the row where they become more frequent."""
    past = healthy[healthy["prediction"].notna()].tail(1000)
    usual = np.abs(outputs(spec, past) - outputs(spec, imitation.predict(past)))
    known = current["prediction"].notna().to_numpy()
    gap = np.zeros(len(current))
    gap[known] = np.abs(outputs(spec, current[known]) - outputs(spec, imitation.predict(current[known])))
    odd = gap > max(1.5 * float(np.quantile(usual, 0.99)), 1e-9)
    first = onset_row(odd) or start
    odd[:first] = False
    if not odd.any():
        odd[first:] = True
    return Skew(float(odd[first:].mean()), 0.01, first, len(current) - first, odd)


def mismatch(spec: ModelSpec, frame: pd.DataFrame, again: pd.DataFrame) -> Mask:
    """Rows whose served answer is not the replayed one (2 points of probability, or 2 % of a standard deviation)."""
    odd: Mask = np.zeros(len(frame), dtype=bool)
    if len(frame) == 0:
        return odd
    if spec.task is Task.REGRESSION:
        served = frame["prediction"].to_numpy(np.float64)
        values = again["prediction"].to_numpy(np.float64)
        return np.asarray(np.abs(served - values) > 0.02 * max(float(served.std()), 1e-9), dtype=bool)
    served, scored = frame["score"].to_numpy(np.float64), again["score"].to_numpy(np.float64)
    if spec.task is Task.BINARY and np.isfinite(served).all() and np.isfinite(scored).all():
        odd = np.abs(served - scored) > 0.02
    else:
        odd = as_class(frame["prediction"]) != as_class(again["prediction"])
    return odd


def outputs(spec: ModelSpec, answers: pd.DataFrame) -> Floats:
    """One number per answer, so that answers can be compared: score, value, or class number."""
    if spec.task is Task.REGRESSION:
        return answers["prediction"].to_numpy(np.float64)
    score = answers["score"].to_numpy(np.float64)
    if spec.task is Task.BINARY and np.isfinite(score).all():
        return score
    return pd.factorize(as_class(answers["prediction"]), sort=True)[0].astype(np.float64)


def moved(spec: ModelSpec, model: Predictor, healthy: pd.DataFrame, current: pd.DataFrame, item: Break) -> float:
    """How far the break moves the predictions of the rows it touches, in standard deviations of healthy predictions.

    Where values are lost: how far they move when the feature is shuffled among healthy rows.
    """
    sample = healthy.tail(1000)
    usual = outputs(spec, model.predict(sample))
    spread = max(float(usual.std()), 1e-9)
    if item.repair is not None:
        rows = current[item.rows].head(500)
        if len(rows) == 0:
            return 0.0
        fixed = item.repair.apply(rows, np.ones(len(rows), dtype=bool))
        change = outputs(spec, model.predict(rows)) - outputs(spec, model.predict(fixed))
    else:
        order = np.random.default_rng(0).permutation(len(sample))
        mixed = sample.copy()
        for name in item.features:
            mixed[name] = sample[name].to_numpy()[order]
        change = outputs(spec, model.predict(mixed)) - usual
    return float(np.sqrt((change**2).mean())) / spread
