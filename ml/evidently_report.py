"""The one door to Evidently: a deep-dive page about a window, on demand and from a sample. It decides nothing.

Evidently takes 80 ms a column however few the rows, and gigabytes for many; so rows are sampled, columns that it cannot
take are left out and named, and whatever it raises becomes one sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ml.errors import InvalidInput, Unavailable
from ml.spec import FeatureType, ModelSpec, Task

SAMPLE = 5_000
MAX_LEVELS = 100
MAX_COLUMNS = 60


@dataclass(frozen=True, slots=True)
class DeepDive:
    """A written page. rows: of the reference and of the window that it rests on. left_out: column -> why."""

    path: Path
    rows: tuple[int, int]
    left_out: dict[str, str]


def deep_dive(
    spec: ModelSpec,
    reference: pd.DataFrame,
    current: pd.DataFrame,
    path: Path | str,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
) -> DeepDive:
    """Write Evidently's drift and summary report of two log frames as one HTML file that needs no network.

    At most `sample` rows of each side are used, drawn with `seed`; at most `MAX_COLUMNS` columns, used features first.
    Raises: InvalidInput where there is nothing to compare; Unavailable where Evidently fails or the file cannot be
    written.
    """
    sides = [_thinned(frame, sample, seed) for frame in (reference, current)]
    columns, left_out = _columns(spec, *sides)
    if not columns:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items()) or "there are no columns"
        raise InvalidInput(f"There is nothing to show of {spec.name!r} ({why}); choose a window with rows and values.")
    frames = [_plain(frame, columns) for frame in sides]
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_html(columns, *frames), encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{path}: the report cannot be written ({error.strerror or error}).") from None
    return DeepDive(path, (len(frames[0]), len(frames[1])), left_out)


def _thinned(frame: pd.DataFrame, sample: int, seed: int) -> pd.DataFrame:
    return frame if len(frame) <= sample else frame.sample(sample, random_state=seed).sort_index()


def _columns(
    spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame
) -> tuple[dict[str, FeatureType], dict[str, str]]:
    """What Evidently can take, by kind; and what it cannot, with the reason."""
    answer = FeatureType.NUMERIC if spec.task is Task.REGRESSION else FeatureType.CATEGORICAL
    ordered = sorted(spec.features, key=lambda name: not spec.features[name].used)
    kinds = {name: spec.features[name].type for name in ordered}
    kinds |= {"prediction": answer, "score": FeatureType.NUMERIC, "label": answer}
    columns: dict[str, FeatureType] = {}
    left_out: dict[str, str] = {}
    for name, kind in kinds.items():
        empty = [
            side for side, f in (("reference", reference), ("window", current)) if name not in f or f[name].isna().all()
        ]
        if kind in (FeatureType.TEXT, FeatureType.DATETIME):
            left_out[name] = f"{kind} columns are not compared"
        elif empty:
            left_out[name] = f"no values in the {' and the '.join(empty)}"
        elif kind is FeatureType.CATEGORICAL and current[name].nunique() > MAX_LEVELS:
            left_out[name] = f"more than {MAX_LEVELS} categories"
        elif len(columns) >= MAX_COLUMNS:
            left_out[name] = f"beyond the first {MAX_COLUMNS} columns"
        else:
            columns[name] = kind
    unanswered = {"score", "label"} & set(left_out)
    return columns, {name: why for name, why in left_out.items() if name not in unanswered}


def _plain(frame: pd.DataFrame, columns: dict[str, FeatureType]) -> pd.DataFrame:
    """Float and text columns only; an infinity is missing here, as no chart can show it."""
    out = {}
    for name, kind in columns.items():
        if kind is FeatureType.NUMERIC:
            values = frame[name].astype("float64")
            out[name] = values.where(values.abs() != float("inf"))
        else:
            out[name] = frame[name].astype(object).map(str, na_action="ignore")
    return pd.DataFrame(out).reset_index(drop=True)


def _html(columns: dict[str, FeatureType], reference: pd.DataFrame, current: pd.DataFrame) -> str:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    numeric = [name for name, kind in columns.items() if kind is FeatureType.NUMERIC]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in columns if name not in numeric]
    )
    try:
        sides = [Dataset.from_pandas(frame, definition) for frame in (current, reference)]
        html: str = Report([DataDriftPreset(), DataSummaryPreset()]).run(*sides).get_html_str(as_iframe=False)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 (some of its errors derive from BaseException alone)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Unavailable(
            f"Evidently could not make the deep dive ({reason[:200]}); the monitors are not affected."
        ) from None
    return html
