"""One diagnosis, for files, notebooks and the agent: `diagnose`.

>>> from ml.diagnosis import diagnose
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ml.diagnosis.causes import Act, Cause, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from ml.diagnosis.result import Diagnosis as Diagnosis
    from ml.models.predictor import Predictor
    from ml.results import Window
    from ml.spec import ModelSpec

__all__ = ["Act", "Cause", "Diagnosis", "Verdict", "diagnose"]


def __getattr__(name: str) -> object:
    """`Diagnosis` on demand: the closed sets are read in places that must start fast."""
    if name == "Diagnosis":
        from ml.diagnosis.result import Diagnosis

        return Diagnosis
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def diagnose(
    spec: ModelSpec,
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    history: pd.DataFrame | None = None,
    deployments: pd.DataFrame | None = None,
    model: Predictor | None = None,
    previous_model: Predictor | None = None,
    as_of: datetime | None = None,
    window: Window | None = None,
    seed: int = 0,
) -> Diagnosis:
    """What happened to a model, and the one action that follows.

    reference: healthy rows, held out from training, in the log's form (features, `timestamp`, `prediction`, `score`,
        `label`, `model_version`). current: the rows to be judged, possibly of several versions; labels may be missing.
    history: earlier healthy rows. deployments: `timestamp, version, kind, note`.
    model, previous_model: what serves now and what served before; without them the answer lists under `not_checked`
        what could not be replayed, and a surrogate fitted on the reference serves the rest.
    as_of: the moment of asking (default: the latest time in `current`); what became known later is not looked at.

    Missing values, unknown categories, broken columns, repeated ids and rows out of order are allowed and named.
    The same frames and seed give the same answer.
    """
    from ml.diagnosis.conclude import conclude
    from ml.diagnosis.intake import take_in
    from ml.diagnosis.investigate import investigate

    frames = take_in(spec, reference, current, history, deployments, as_of, window)
    return conclude(*investigate(spec, frames, model, previous_model, seed))
