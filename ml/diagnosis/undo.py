"""How a text read in the wrong encoding, and a time in the wrong unit or zone, become right again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

_TICKS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def ungarbled(text: str, encoding: str) -> str:
    """The text as it was, where it is UTF-8 that was read in another encoding; else the text itself.

    >>> ungarbled("KÃ¤se", "cp1252"), ungarbled("Käse", "cp1252")
    ('Käse', 'Käse')
    """
    if text.isascii():
        return text
    try:
        return text.encode(encoding).decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return text


def reclocked(column: pd.Series, rows: npt.NDArray[np.bool_], factor: float, offset: float) -> pd.Series:
    """The masked times with their seconds since 1970 as factor * seconds + offset; missing ones stay missing.

    >>> times = pd.Series(pd.to_datetime(["1970-01-21T12:00:00Z"]))
    >>> reclocked(times, np.array([True]), 1000.0, 0.0).dt.year.tolist()
    [2026]
    """
    part = column[rows & column.notna().to_numpy()]
    seconds = part.astype(np.int64).to_numpy() / _TICKS[column.dt.unit] * factor + offset
    out = column.copy()
    out.loc[part.index] = pd.to_datetime(seconds, unit="s", utc=True).astype(column.dtype)
    return out
