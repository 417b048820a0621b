"""What passes between the parts of the model server: checked rows, the answers to them, and what gives the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one request, checked. columns: feature -> one plain value a row: float (NaN where missing) for numeric,
    bool or None for boolean, text or None for categorical and text, ISO 8601 text or None for datetime. ids: one
    prediction id a row, stable over retries when the caller gave it."""

    columns: Mapping[str, Sequence[Any]]
    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Sequence[int]) -> Rows:
        """Some of the rows, in the order of `places`."""
        columns = {name: [values[place] for place in places] for name, values in self.columns.items()}
        return Rows(columns, [self.ids[place] for place in places])

    def frame(self) -> pd.DataFrame:
        """The same rows as a table; slow (a tenth of a millisecond and more), for what cannot do without."""
        import pandas as pd

        return pd.DataFrame({name: list(values) for name, values in self.columns.items()})


@dataclass(frozen=True, slots=True)
class Answers:
    """One plain value a row: predictions (class as it stands in the labels, or a number), and scores (probability of
    the positive class, of the predicted class for multiclass, None for regression)."""

    predictions: Sequence[Any]
    scores: Sequence[float | None]


class Engine(Protocol):
    """One loaded version of a model. `kind` says what computes: native, xgboost, onnx, onnx-int8."""

    @property
    def model(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def nbytes(self) -> int:
        """Memory that it takes, about."""

    def answer(self, rows: Rows) -> Answers:
        """Answers in the order of the rows; called by many threads at once. Raises: DataError naming the column."""
