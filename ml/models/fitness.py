"""Are rows fit to be learnt from? What is certainly broken is named; what has merely moved is what training is for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.metrics import as_class
from ml.spec import FeatureType, ModelSpec, Task


def unfit_for_training(spec: ModelSpec, rows: pd.DataFrame, reference: pd.DataFrame | None = None) -> list[str]:
    """One sentence for each thing that is broken; empty where the rows are fit.

    rows: labelled rows of the log. reference: rows that the present version was measured on; without them a rise of
    missing values cannot be told, and only a column with no value at all is named. Checked are the columns that the
    model is fed (missing values, values outside the spec's `range`), the labels (one class only, one value only), and
    ids that stand twice. The bounds are the spec's own, under `monitors.quality`.
    """
    if rows.empty:
        return ["there are no rows"]
    found = [said for name in spec.used_features if (said := _column(spec, name, rows, reference))]
    labels = rows["label"].dropna()
    values = labels if spec.task is Task.REGRESSION else pd.Series(as_class(labels))
    if values.nunique() < 2:
        found.append(f"every label is {values.iloc[0]}" if len(values) else "there is no label")
    if "prediction_id" in rows and (twice := int(rows["prediction_id"].duplicated().sum())):
        found.append(f"{twice} of {len(rows)} rows have an id that another row has")
    return found


def _column(spec: ModelSpec, name: str, rows: pd.DataFrame, reference: pd.DataFrame | None) -> str | None:
    rule, feature = spec.monitors.quality, spec.features[name]
    if name not in rows:
        return f"{name} is not among the columns"
    missing = float(rows[name].isna().mean())
    before = float(reference[name].isna().mean()) if reference is not None and name in reference else None
    if missing == 1.0 and before != 1.0:
        return f"{name} has no value in any row"
    if before is not None and missing - before > rule.max_null_rise:
        return f"{name} is missing in {missing:.0%} of the rows, where it was {before:.0%}"
    if feature.range is None or feature.type is not FeatureType.NUMERIC:
        return None
    values = pd.to_numeric(rows[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    low, high = feature.range
    outside = float(np.mean((values < low) | (values > high)))
    if outside > rule.max_out_of_range:
        return f"{name} is outside {low:g} to {high:g} in {outside:.0%} of the rows"
    return None
