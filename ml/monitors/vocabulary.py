"""Drift of texts by their words: the share that the reference's vocabulary lacks."""

from __future__ import annotations

import numpy as np

from ml.data.profiles import Profile
from ml.results import Measurement, Status, Window
from ml.spec import FeatureType, ModelSpec


def vocabulary_drift(
    spec: ModelSpec, reference: Profile, current: Profile, window: Window, alpha: float
) -> list[Measurement]:
    """Share of words that the reference's vocabulary lacks, in excess of the reference's own."""
    from scipy.special import ndtr

    out = []
    for name in spec.of_type(FeatureType.TEXT):
        (n, a), (m, b) = reference.column(name).tokens, current.column(name).tokens
        if n == 0 or m == 0:
            why = f"{name}: the vocabulary was not checked: there are no words."
            out.append(
                Measurement("drift.vocabulary", window, None, current.rows, Status.NO_DATA, feature=name, detail=why)
            )
            continue
        pooled = (a + b) / (n + m)
        error = float(np.sqrt(max(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m)))
        rise = b / m - a / n
        # Words of one text come together: count texts, not words, as what is independent.
        error *= float(np.sqrt(max(m / max(current.column(name).valid, 1), 1.0)))
        p_value = float(ndtr(-rise / error))
        floor = spec.monitors.drift.floor
        breach = p_value <= alpha and rise >= floor
        out.append(
            Measurement(
                "drift.vocabulary",
                window,
                rise,
                m,
                Status.BREACH if breach else Status.OK,
                feature=name,
                threshold=floor,
                detail=f"{name}: {b / m:.1%} of the words are not in the reference's vocabulary, {a / n:.1%} were.",
                facts={"p_value": p_value, "share": b / m, "reference_share": a / n},
            )
        )
    return out
