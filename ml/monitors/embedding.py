"""Drift of texts in the space of an embedding model, where the spec names one. None is shipped.

`features.<name>.embedding: package.module:function` is your function from a list of texts to an array of one vector a
text. A window is kept as what adds up: the number of texts, and the sum and the second moments of a fixed random
projection of their vectors to at most 16 dimensions (Johnson and Lindenstrauss: distances survive it). Windows are
merged by adding; the mean of the current ones is held against the reference's by Hotelling's T squared.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.errors import InvalidInput, SpecError
from ml.metrics import Floats
from ml.results import Measurement, Status, Window
from ml.spec import FeatureType, ModelSpec

DIMENSIONS = 16
MOST_TEXTS = 2_000
LEAST_TEXTS = 50

Embedding = Callable[[Sequence[str]], Any]


@dataclass(frozen=True, eq=False)
class TextCloud:
    """n texts as the sum (k) and the second moments (k, k) of their projected vectors. Two clouds add up."""

    n: int
    total: Floats
    moments: Floats

    def __add__(self, other: TextCloud) -> TextCloud:
        if len(self.total) != len(other.total):
            raise InvalidInput("Clouds of texts from different embedding models cannot be added; embed anew with one.")
        return TextCloud(self.n + other.n, self.total + other.total, self.moments + other.moments)

    @property
    def mean(self) -> Floats:
        return np.asarray(self.total / max(self.n, 1), np.float64)

    @property
    def scatter(self) -> Floats:
        """Sum of squared deviations from the mean."""
        return np.asarray(self.moments - np.outer(self.total, self.mean), np.float64)

    def to_dict(self) -> dict[str, Any]:
        return {"n": self.n, "total": self.total.tolist(), "moments": self.moments.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TextCloud:
        return cls(data["n"], np.array(data["total"], np.float64), np.array(data["moments"], np.float64))


def load_embedding(address: str) -> Embedding:
    """The function behind `package.module:function`. Raises: SpecError where there is none."""
    module, _, name = address.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"embedding: {address!r} cannot be loaded ({error}); give `package.module:function`.") from None
    if not callable(found):
        raise SpecError(f"embedding: {address!r} is not a function from texts to vectors.")
    return found  # type: ignore[no-any-return]


def cloud(texts: pd.Series, embed: Embedding) -> TextCloud:
    """The texts of a column (missing ones are left out; of more than 2,000, every so manieth).

    Raises: InvalidInput where the function does not give one vector of finite numbers a text.
    """
    known = texts.dropna().astype(str)
    known = known.iloc[:: -(-len(known) // MOST_TEXTS)] if len(known) > MOST_TEXTS else known
    if known.empty:
        return TextCloud(0, np.zeros(0), np.zeros((0, 0)))
    vectors = np.asarray(embed(known.tolist()), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(known) or not np.isfinite(vectors).all():
        shape = " x ".join(str(length) for length in vectors.shape)
        raise InvalidInput(f"the embedding gave {shape} for {len(known)} texts; one finite vector a text is needed.")
    width = vectors.shape[1]
    if width > DIMENSIONS:
        seed = zlib.crc32(f"watchkeeper {width}".encode())
        vectors = vectors @ np.random.default_rng(seed).normal(0, 1 / np.sqrt(DIMENSIONS), (width, DIMENSIONS))
    return TextCloud(len(vectors), vectors.sum(axis=0), vectors.T @ vectors)


def compare(reference: TextCloud, current: TextCloud) -> tuple[float, float]:
    """Squared Mahalanobis distance of the means beyond chance, and the p-value that there is none (Hotelling 1931)."""
    from scipy.stats import f

    n, m, k = reference.n, current.n, len(reference.total)
    pooled = (reference.scatter + current.scatter) / (n + m - 2)
    ridge = 1e-6 * float(np.trace(pooled)) / k + 1e-12
    gap = current.mean - reference.mean
    squared = float(gap @ np.linalg.solve(pooled + ridge * np.eye(k), gap))
    statistic = n * m / (n + m) * squared * (n + m - k - 1) / (k * (n + m - 2))
    return squared - k * (1 / n + 1 / m), float(f.sf(statistic, k, n + m - k - 1))


def clouds(spec: ModelSpec, frame: pd.DataFrame) -> dict[str, TextCloud | str]:
    """The texts of a frame in the space of their embeddings, by feature; a sentence where one failed."""
    out: dict[str, TextCloud | str] = {}
    for name in spec.of_type(FeatureType.TEXT):
        if address := spec.features[name].embedding:
            try:
                embed = load_embedding(address)
                out[name] = cloud(frame[name] if name in frame else pd.Series(dtype=object), embed)
            except (SpecError, InvalidInput, ValueError, TypeError, RuntimeError, OSError) as error:
                out[name] = str(error).rstrip(".")
    return out


def embedding_drift(
    spec: ModelSpec,
    reference: Mapping[str, TextCloud | str],
    current: Mapping[str, TextCloud | str],
    *,
    window: Window,
    alpha: float | None = None,
) -> list[Measurement]:
    """`drift.embedding` of every text feature that names an embedding, from the `clouds` of two frames.

    alpha: level of the test, by default the spec's. One that could not be embedded is `no_data` and says why.
    """
    level = spec.monitors.drift.alpha if alpha is None else alpha
    return [_measured(spec, name, before, current[name], window, level) for name, before in reference.items()]


def _measured(
    spec: ModelSpec, name: str, before: TextCloud | str, now: TextCloud | str, window: Window, alpha: float
) -> Measurement:
    def nothing(n: int, why: str) -> Measurement:
        detail = f"{name}: the embedding was not checked: {why}."
        return Measurement("drift.embedding", window, None, n, Status.NO_DATA, feature=name, detail=detail)

    if isinstance(before, str) or isinstance(now, str):
        return nothing(0, before if isinstance(before, str) else str(now))
    if min(before.n, now.n) < LEAST_TEXTS:
        return nothing(now.n, f"{before.n} and {now.n} texts; {LEAST_TEXTS} of each are needed")
    value, p_value = compare(before, now)
    floor = spec.monitors.drift.floor
    breach = p_value <= alpha and value >= floor
    said = "moved" if breach else "did not move beyond what is usual"
    return Measurement(
        "drift.embedding", window, value, now.n, Status.BREACH if breach else Status.OK, feature=name, threshold=floor,
        detail=f"{name}: the texts' embedding {said} (squared distance {value:.3f}, p = {p_value:.2g}).",
        facts={"p_value": p_value, "reference_rows": before.n, "test": "Hotelling's T squared"},
    )  # fmt: skip
