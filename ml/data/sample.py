"""A sample of rows that is the same wherever it is taken: the k prediction ids of the smallest hash.

Samples of parts give the sample of the whole: take the k smallest again.
"""

from __future__ import annotations

import pandas as pd

from ml.data.aggregate import Expression, digest
from ml.data.profiles import digest as digest_of


def sample_table(table: Expression, k: int) -> pd.DataFrame:
    """At most k rows of an Ibis table that has `prediction_id`, in order of their hash. Only they leave the engine."""
    rows = table.filter(table["prediction_id"].notnull())
    found: pd.DataFrame = (
        rows.order_by([digest(rows["prediction_id"].cast("string")), "prediction_id"]).limit(k).to_pandas()
    )
    return found


def sample_frame(frame: pd.DataFrame, k: int) -> pd.DataFrame:
    """The same of rows in memory.

    >>> sample_frame(pd.DataFrame({"prediction_id": ["a", "b", "c"]}), 2)["prediction_id"].tolist()
    ['a', 'c']
    """
    rows = frame[frame["prediction_id"].notna()]
    order = rows["prediction_id"].astype(str).map(digest_of)
    return rows.loc[order.sort_values(kind="stable").index[:k]]
