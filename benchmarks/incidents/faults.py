"""Incidents of known cause. Every category changes the current rows (and the later ones) of a healthy world, and says
what was done: the truth is by construction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pandas as pd

from benchmarks.incidents.worlds import World
from ml.diagnosis.causes import Act, Cause
from ml.models import recipes
from ml.models.recipes import FittedModel
from ml.spec import ModelSpec

START = pd.Timestamp("2026-01-01", tz="UTC")
STRENGTHS = {"full": 1.0, "half": 0.5, "quarter": 0.25}
SIZES = (500, 1000, 3000)
LATER = 1000


@dataclass
class Incident:
    """What is diagnosed, what happened, and the rows that come next (`later`: as they will be logged while nothing is
    done; `mended`: the same without the data fault)."""

    category: str
    world: str
    real: bool
    strength: str
    size: int
    seed: int
    spec: ModelSpec
    reference: pd.DataFrame
    history: pd.DataFrame
    current: pd.DataFrame
    later: pd.DataFrame
    mended: pd.DataFrame
    model: FittedModel
    previous: FittedModel | None = None
    deployments: pd.DataFrame | None = None
    as_of: datetime | None = None
    causes: set[Cause] = field(default_factory=set)
    acts: set[Act] = field(default_factory=set)
    features: set[str] = field(default_factory=set)
    onset: pd.Timestamp | None = None
    quiet: bool = False


class Maker:
    """One incident in the making: healthy frames, and the ways to break them."""

    def __init__(self, world: World, category: str, strength: str, size: int, seed: int) -> None:
        self.world, self.spec, self.size = world, world.spec, size
        self.s = STRENGTHS[strength]
        self.rng = np.random.default_rng(
            [seed, size, list(STRENGTHS).index(strength), sum(map(ord, world.name + category))]
        )
        self.deck = None if world.pool is None else self.rng.permutation(len(world.pool))
        self.reference = self.timed(self.deal(1000), START, "20min")
        self.history = self.timed(self.deal(1500), START + pd.Timedelta(days=30), "20min")
        self.begin = START + pd.Timedelta(days=90)
        self.current = self.timed(self.deal(size), self.begin, "10min")
        self.later = self.timed(self.deal(LATER), self.current["timestamp"].iloc[-1] + pd.Timedelta("10min"), "10min")
        self.first = int(size * self.rng.uniform(0.0, 0.5)) if self.rng.random() < 0.7 else 0
        self.model = world.model
        self.previous: FittedModel | None = None
        self.deployments: list[tuple[pd.Timestamp, str]] = []
        self.mended: pd.DataFrame | None = None
        self.head = dict(category=category, world=world.name, real=world.real, strength=strength, size=size, seed=seed)

    def deal(self, n: int) -> pd.DataFrame:
        """Rows that no other frame of this incident has."""
        if self.deck is None:
            return self.world.draw(n, self.rng)
        taken, self.deck = self.deck[:n], self.deck[n:]
        return self.world.pool.iloc[taken].reset_index(drop=True)

    def two(self, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Many rows to choose from for current and later rows; none is in both, or in reference and history."""
        pool = self.world.pool
        if self.deck is None or pool is None:
            return self.world.draw(n, self.rng), self.world.draw(n, self.rng)
        used = pd.concat([self.current, self.later]).drop(columns=["timestamp", "label_timestamp"])
        used = pd.concat([used, pool.iloc[self.deck]], ignore_index=True)
        half = self.rng.permutation(len(used))
        return used.iloc[half[: 2 * len(used) // 3]].reset_index(drop=True), used.iloc[
            half[2 * len(used) // 3 :]
        ].reset_index(drop=True)

    def choose(self, big: tuple[pd.DataFrame, pd.DataFrame], weigh: Callable[[pd.DataFrame], np.ndarray]) -> None:
        """Current and later rows drawn by weight."""
        frames = []
        for part, n, start in zip(
            big, (len(self.current), LATER), (self.begin, self.later["timestamp"].iloc[0]), strict=True
        ):
            w = weigh(part)
            frames.append(
                self.timed(
                    part.iloc[self.rng.choice(len(part), n, p=w / w.sum())].reset_index(drop=True), start, "10min"
                )
            )
        self.current, self.later = frames

    def timed(self, frame: pd.DataFrame, start: pd.Timestamp, step: str) -> pd.DataFrame:
        times = pd.date_range(start, periods=len(frame), freq=step)
        return frame.assign(timestamp=times, label_timestamp=times)

    @property
    def onset(self) -> pd.Timestamp:
        return self.current["timestamp"].iloc[self.first]

    def on(self, frame: pd.DataFrame, share: float = 1.0) -> np.ndarray:
        """Rows to be broken: current ones from the onset on, all of the later ones, `share` of them at random."""
        rows = np.arange(len(frame)) >= (self.first if frame is self.current else 0)
        return rows & (self.rng.random(len(frame)) < share)

    def damage(self, change: Callable[[pd.DataFrame, np.ndarray], pd.DataFrame], share: float = 1.0) -> None:
        """A data fault: applied to current and later rows, before they are served."""
        self.mended = self.serve(self.later)
        self.current, self.later = (change(f, self.on(f, share)) for f in (self.current, self.later))

    def serve(self, frame: pd.DataFrame, model: FittedModel | None = None) -> pd.DataFrame:
        model = model or self.model
        out = model.predict(frame)
        return frame.assign(
            prediction=out["prediction"].to_numpy(), score=out["score"].to_numpy(), model_version=model.version
        )

    def done(
        self,
        causes: set[Cause],
        acts: set[Act],
        *,
        features: set[str] | None = None,
        quiet: bool = False,
        onset: bool = True,
    ) -> Incident:
        early = self.previous if self.previous is not None else self.model
        current = self.current if "prediction" in self.current else self.serve(self.current)
        if self.previous is not None and self.first > 0 and "prediction" not in self.current:
            current = pd.concat([self.serve(self.current.iloc[: self.first], early), current.iloc[self.first :]])
        later = self.later if "prediction" in self.later else self.serve(self.later)
        ledger = pd.DataFrame(
            [{"timestamp": t, "version": v, "kind": "promote", "note": ""} for t, v in self.deployments]
        )
        return Incident(
            **self.head, spec=self.spec, reference=self.serve(self.reference, early),
            history=self.serve(self.history, early),
            current=current, later=later, mended=self.mended if self.mended is not None else later, model=self.model,
            previous=self.previous, deployments=ledger if len(ledger) else None,
            as_of=self.current["timestamp"].iloc[-1].to_pydatetime(), causes=causes, acts=acts,
            features=features or set(),
            onset=self.onset if onset else None, quiet=quiet,
        )  # fmt: skip

    def deploy(self, train: pd.DataFrame, version: str = "2") -> None:
        self.previous, self.model = self.model, recipes.fit(self.spec, train, seed=3).with_version(version)
        self.deployments.append((self.onset, version))


_FIX, _NONE = {Act.FIX_DATA}, {Act.NO_ACTION, Act.WAIT_FOR_LABELS, Act.REFRESH_REFERENCE}
_DATA = {Cause.DATA_PIPELINE_FAULT}
_CALM = {Cause.HEALTHY, Cause.HARMLESS_SHIFT, Cause.SEASONAL, Cause.REFERENCE_STALE, Cause.INSUFFICIENT_DATA}
_CONCEPT = {Cause.CONCEPT_DRIFT_SUDDEN, Cause.CONCEPT_DRIFT_GRADUAL}
_FACTORS = (38.67, 10.0, 100.0, 1000.0, 2.54, 0.4536, 1.609344, 0.01, 0.1, 60.0, 1 / 18.0182)


def healthy(m: Maker) -> Incident:
    return m.done({Cause.HEALTHY, Cause.HARMLESS_SHIFT, Cause.INSUFFICIENT_DATA}, _NONE, quiet=True, onset=False)


def sampling_noise(m: Maker) -> Incident:
    m.current = m.current.iloc[: max(60, m.size // 8)].reset_index(drop=True)
    m.first = 0
    return m.done({Cause.HEALTHY, Cause.HARMLESS_SHIFT, Cause.INSUFFICIENT_DATA}, _NONE, quiet=True, onset=False)


def unused_shift(m: Maker) -> Incident:
    """A shift in an unused feature: its twin is a unit fault in a used one."""
    m.damage(lambda f, rows: f.assign(batch_size=np.where(rows, f["batch_size"] * 10**m.s, f["batch_size"])))
    return m.done({Cause.HARMLESS_SHIFT, Cause.HEALTHY}, _NONE, quiet=True, onset=False)


def easier_mix(m: Maker) -> Incident:
    """Inputs move towards cases that the model finds no harder."""
    name = m.world.strong[-1]
    m.choose(m.two(6000), lambda f: np.clip(np.exp(2.0 * m.s * _standard(f[name]).to_numpy()), 0.1, 8.0))
    return m.done(
        {Cause.HARMLESS_SHIFT, Cause.HEALTHY, Cause.HARMFUL_COVARIATE_SHIFT, Cause.INSUFFICIENT_DATA},
        _NONE,
        quiet=True,
        onset=False,
    )


def harder_mix(m: Maker) -> Incident:
    """More of the cases that are hard in themselves: nothing on the model helps."""

    def weigh(f: pd.DataFrame) -> np.ndarray:
        out = m.model.predict(f)
        if m.spec.task.value == "binary":
            hard = 1 - 2 * np.abs(out["score"].to_numpy() - 0.5)
        else:
            hard = _standard(out["prediction"]).to_numpy() / 2
        return np.clip(np.exp(4.0 * m.s * hard), 0.05, 60)

    m.choose(m.two(8000), weigh)
    m.first = 0
    return m.done({Cause.HARMFUL_COVARIATE_SHIFT, *_CALM}, _NONE, onset=False)


def unit(m: Maker) -> Incident:
    """The whole column, or all of one segment, in another unit."""
    name = m.world.strong[int(m.rng.integers(0, 2))]
    factor = float(m.rng.choice(_FACTORS))
    return _unit(m, name, factor)


def _unit(m: Maker, name: str, factor: float) -> Incident:
    m.damage(lambda f, rows: f.assign(**{name: np.where(rows, f[name] * factor, f[name])}), share=m.s)
    return m.done(_DATA, _FIX, features={name})


def unit_segment(m: Maker) -> Incident:
    segment = m.world.segment
    if segment is None:
        return unit(m)
    name = m.world.strong[0]
    factor = float(m.rng.choice(_FACTORS[:4]))
    level = m.world.train[segment].value_counts().index[0 if m.s > 0.3 else 1]

    def change(f: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
        return f.assign(**{name: np.where(rows & (f[segment] == level).to_numpy(), f[name] / factor, f[name])})

    m.damage(change)
    return m.done(_DATA, _FIX, features={name})


def sentinel(m: Maker) -> Incident:
    name = m.world.strong[0]
    value = float(m.rng.choice([-999.0, -1.0, 0.0, 9999.0]))
    m.damage(lambda f, rows: f.assign(**{name: np.where(rows, value, f[name])}), share=0.6 * m.s)
    return m.done(_DATA, _FIX, features={name})


def default_fill(m: Maker) -> Incident:
    name = m.world.strong[0]
    value = float(np.nanmean(m.world.train[name]).round(2))
    m.damage(lambda f, rows: f.assign(**{name: np.where(rows, value, f[name])}), share=0.6 * m.s)
    return m.done(_DATA, _FIX, features={name})


def nulls(m: Maker) -> Incident:
    name = m.world.strong[0]
    m.damage(lambda f, rows: f.assign(**{name: np.where(rows, np.nan, f[name])}), share=0.6 * m.s)
    return m.done(_DATA, _FIX, features={name})


def nulls_unused(m: Maker) -> Incident:
    """The harmless twin of `nulls`."""
    m.damage(lambda f, rows: f.assign(batch_size=np.where(rows, np.nan, f["batch_size"])), share=0.6 * m.s)
    return m.done({Cause.HARMLESS_SHIFT, Cause.HEALTHY}, _NONE, quiet=True, onset=False)


def rename(m: Maker) -> Incident:
    columns = [
        c
        for c in m.spec.used_features
        if m.spec.features[c].type.value == "categorical" and m.world.train[c].nunique() > 1
    ]
    if not columns:
        return nulls(m)
    name = max(columns, key=lambda c: _spread_by(m, c))
    style = int(m.rng.integers(0, 3))
    levels = sorted(m.world.train[name].dropna().astype(str).unique())
    new = {
        v: v.upper() if style == 0 and v.upper() != v else f"{v} " if style == 1 else f"code_{i + 7}"
        for i, v in enumerate(levels)
    }
    m.damage(
        lambda f, rows: f.assign(
            **{name: f[name].where(~rows, f[name].map(lambda v: new.get(str(v), v), na_action="ignore"))}
        ),
        share=m.s,
    )
    return m.done(_DATA, _FIX, features={name})


def _spread_by(m: Maker, column: str) -> float:
    out = m.model.predict(m.history)
    value = out["score"] if m.spec.task.value == "binary" else out["prediction"].astype(float)
    return float(value.groupby(m.history[column].astype(str).to_numpy()).mean().std())


def swapped(m: Maker) -> Incident:
    a = m.world.strong[0]
    b = max(m.world.strong[1:], key=lambda f: abs(_location(m, f) - _location(m, a)))
    m.damage(lambda f, rows: f.assign(**{a: np.where(rows, f[b], f[a]), b: np.where(rows, f[a], f[b])}), share=m.s)
    return m.done(_DATA, _FIX, features={a, b})


def _location(m: Maker, f: str) -> float:
    return float(np.arcsinh(m.world.train[f].median()))


def stale(m: Maker) -> Incident:
    """A column that is refreshed only every so many rows."""
    name = m.world.strong[0]
    hold = max(2, int(50 * m.s))

    def change(f: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
        values = f[name].to_numpy()
        kept = values[(np.arange(len(f)) // hold) * hold]
        return f.assign(**{name: np.where(rows, kept, values)})

    m.damage(change)
    return m.done(_DATA, _FIX, features={name})


def bad_deployment(m: Maker) -> Incident:
    """A version that learnt from jumbled columns."""
    train = m.world.train.copy()
    columns = list(m.world.strong)
    for name in columns[: 1 + int(3 * m.s)]:
        rows = m.rng.random(len(train)) < 0.4 + 0.6 * m.s
        mixed = train[name].to_numpy(copy=True)
        mixed[rows] = m.rng.permutation(mixed[rows])
        train[name] = mixed
    if m.s > 0.3:
        rows = m.rng.random(len(train)) < 0.5 * m.s
        train.loc[rows, "label"] = m.rng.permutation(train.loc[rows, "label"].to_numpy())
    m.deploy(train)
    return m.done({Cause.BAD_DEPLOYMENT}, {Act.ROLLBACK})


def good_deployment(m: Maker) -> Incident:
    """A new version as good as the old one: the twin of `bad_deployment`."""
    m.deploy(m.world.train.sample(frac=0.95, random_state=1))
    return m.done({Cause.HEALTHY, Cause.HARMLESS_SHIFT, Cause.INSUFFICIENT_DATA}, _NONE, quiet=True, onset=False)


def skew(m: Maker) -> Incident:
    """The server feeds the model something else than what it logs."""
    name = m.world.strong[0]
    m.mended = m.serve(m.later)

    def served(f: pd.DataFrame) -> pd.DataFrame:
        rows = m.on(f, m.s)
        fed = f.assign(**{name: np.where(rows, 0.0, f[name])})
        out = m.serve(fed)
        return f.assign(prediction=out["prediction"], score=out["score"], model_version=out["model_version"])

    m.current, m.later = served(m.current), served(m.later)
    return m.done({Cause.TRAINING_SERVING_SKEW}, _FIX)


def _changed(m: Maker, frame: pd.DataFrame, chance: np.ndarray) -> pd.DataFrame:
    """The relation changes for rows on one side of the strongest feature: labels turn round, or move by 1.5 sd."""
    cut = m.world.train[m.world.strong[0]].median()
    rows = (frame[m.world.strong[0]].fillna(cut) > cut).to_numpy() & (m.rng.random(len(frame)) < chance)
    return _relabel(m, frame, rows)


def _relabel(m: Maker, frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    if m.spec.task.value == "binary":
        return frame.assign(label=np.where(rows, 1 - frame["label"], frame["label"]))
    shift = 1.5 * float(m.world.train["label"].std())
    return frame.assign(label=np.where(rows, frame["label"] + shift, frame["label"]))


def concept_sudden(m: Maker) -> Incident:
    chance = 0.9 * m.s
    m.current = _changed(m, m.current, chance * (np.arange(len(m.current)) >= m.first))
    m.later = _changed(m, m.later, np.full(len(m.later), chance))
    return m.done(_CONCEPT, {Act.RETRAIN})


def concept_gradual(m: Maker) -> Incident:
    m.first = int(0.1 * m.size)
    ramp = np.clip((np.arange(len(m.current)) - m.first) / (0.7 * m.size), 0, 1)
    m.current = _changed(m, m.current, 0.9 * m.s * ramp)
    m.later = _changed(m, m.later, np.full(len(m.later), 0.9 * m.s))
    return m.done(_CONCEPT, {Act.RETRAIN})


def concept_at_deployment(m: Maker) -> Incident:
    """The twin of `bad_deployment`: the world changed in the hour in which a good version went live."""
    m.deploy(m.world.train.sample(frac=0.95, random_state=1))
    return concept_sudden(m)


def segment(m: Maker) -> Incident:
    """The relation changes in one segment only."""
    column = m.world.segment
    if column is None:
        return concept_sudden(m)
    levels = m.world.train[column].value_counts(normalize=True)
    level = next((v for v in levels.index if levels[v] < 0.45), levels.index[-1])

    def change(f: pd.DataFrame) -> pd.DataFrame:
        return _relabel(m, f, m.on(f, 0.9 * m.s) & (f[column] == level).to_numpy())

    m.current, m.later = change(m.current), change(m.later)
    return m.done({Cause.SEGMENT_SHIFT, *_CONCEPT}, {Act.RETRAIN}, features={column})


def prior(m: Maker) -> Incident:
    """Another share of positives, with the same cases inside each class."""
    if m.spec.task.value != "binary":
        return concept_sudden(m)
    base = float(m.world.train["label"].mean())
    aim = base + m.s * (0.75 if base < 0.5 else -0.75) * (1 - base if base < 0.5 else base)
    before = m.current
    m.choose(
        m.two(9000),
        lambda f: np.where(
            f["label"] == 1, aim / max(f["label"].mean(), 1e-9), (1 - aim) / max(1 - f["label"].mean(), 1e-9)
        ),
    )
    m.current = pd.concat([before.iloc[: m.first], m.current.iloc[m.first :]], ignore_index=True)
    return m.done({Cause.PRIOR_SHIFT}, {Act.RECALIBRATE})


def unseen_region(m: Maker) -> Incident:
    """The model never saw the upper part of a feature; now it comes."""
    name = m.world.strong[0]
    cut = m.world.train[name].quantile(0.65)
    m.model = recipes.fit(m.spec, m.world.train[m.world.train[name] <= cut]).with_version("1")

    def low(f: pd.DataFrame) -> pd.DataFrame:
        kept = f[(f[name] <= cut)]
        return m.timed(
            kept.drop(columns=["timestamp", "label_timestamp"]).reset_index(drop=True), f["timestamp"].iloc[0], "20min"
        )

    m.reference, m.history = low(m.reference), low(m.history)

    parts = m.two(9000)

    def mix(f: pd.DataFrame, big: pd.DataFrame) -> pd.DataFrame:
        inside, outside = big[(big[name] <= cut)], big[(big[name] > cut)]
        take = m.on(f, 0.9 * m.s)
        out = inside.iloc[m.rng.integers(0, len(inside), len(f))].reset_index(drop=True)
        other = outside.iloc[m.rng.integers(0, len(outside), len(f))].reset_index(drop=True)
        mixed = pd.concat([out[~take], other[take]]).sort_index()
        return m.timed(mixed, f["timestamp"].iloc[0], "10min")

    m.current, m.later = mix(m.current, parts[0]), mix(m.later, parts[1])
    return m.done({Cause.HARMFUL_COVARIATE_SHIFT, Cause.SEASONAL, *_CONCEPT}, {Act.RETRAIN}, features={name})


def label_delay(m: Maker) -> Incident:
    rows = m.on(m.current, 0.5 + 0.5 * m.s)
    m.current["label"] = m.current["label"].astype(object).where(~rows, None)
    return m.done({Cause.LABEL_DELAY}, {Act.WAIT_FOR_LABELS})


def label_fault(m: Maker) -> Incident:
    """Labels turned round, all of one class, or joined to the wrong rows; in another unit for numbers."""
    style = int(m.rng.integers(0, 3))
    rows = m.on(m.current)
    label = m.current["label"].to_numpy(copy=True)
    if m.spec.task.value == "binary":
        changed = 1 - label if style == 0 else np.zeros_like(label) if style == 1 else np.roll(label, 1)
    else:
        changed = label * 1000 if style == 0 else label / 60 if style == 1 else np.roll(label, 1)
    m.current["label"] = np.where(rows, changed, label)
    return m.done({Cause.LABEL_FAULT}, _FIX, features={"label"})


def stale_reference(m: Maker) -> Incident:
    """Inputs moved long ago, without harm; the reference is from before."""
    name = m.world.strong[-1]
    lower = m.world.train[name].quantile(0.5 + 0.25 * (1 - m.s))
    big = pd.concat([m.reference, m.world.draw(3000, m.rng)]) if m.deck is None else m.reference
    m.reference = m.timed(big[big[name] <= lower].iloc[:1000].reset_index(drop=True), START, "20min")
    return m.done(
        {Cause.REFERENCE_STALE, Cause.HARMLESS_SHIFT}, {Act.REFRESH_REFERENCE, Act.NO_ACTION}, quiet=True, onset=False
    )


def seasonal(m: Maker) -> Incident:
    """A season that history has seen before: inputs swing, the model knows them."""
    name = m.world.strong[-1]
    cut = m.world.train[name].median()

    def side(f: pd.DataFrame, upper: bool) -> pd.DataFrame:
        kept = f[(f[name] > cut) == upper].reset_index(drop=True)
        return m.timed(kept, f["timestamp"].iloc[0], "10min")

    m.reference = side(m.reference, False)
    half = len(m.history) // 2
    m.history = pd.concat([side(m.history.iloc[:half], True), side(m.history.iloc[half:], False)], ignore_index=True)
    m.current, m.later = side(m.current, True), side(m.later, True)
    return m.done(_CALM, _NONE, quiet=True, onset=False)


def two_faults(m: Maker) -> Incident:
    name = m.world.strong[1]
    m.damage(lambda f, rows: f.assign(**{name: np.where(rows, f[name] * 1000.0, f[name])}), share=m.s)
    bad_deployment(m)
    return m.done({Cause.DATA_PIPELINE_FAULT, Cause.BAD_DEPLOYMENT}, {Act.FIX_DATA, Act.ROLLBACK}, features={name})


CATEGORIES: dict[str, Callable[[Maker], Incident]] = {
    f.__name__: f
    for f in (
        healthy, sampling_noise, unused_shift, easier_mix, harder_mix, unit, unit_segment, sentinel, default_fill,
        nulls, nulls_unused, rename, swapped, stale, bad_deployment, good_deployment, skew, concept_sudden,
        concept_gradual,
        concept_at_deployment, segment, prior, unseen_region, label_delay, label_fault,
        stale_reference, seasonal,
        two_faults,
    )
}  # fmt: skip


def make(world: World, category: str, strength: str, size: int, seed: int) -> Incident:
    """The incident of this kind, the same for the same arguments."""
    return CATEGORIES[category](Maker(world, category, strength, size, seed))


def _standard(column: pd.Series) -> pd.Series:
    values = column.astype(float)
    return ((values - values.mean()) / values.std()).fillna(0.0)
