"""Which predictions are kept row by row: a share of them by spec, the same ones whoever asks, whenever.

An id is in the sample or not by its own hash, so that a retry, the shadow's answer and the label of a prediction go the
way of the prediction, and a sample that is made larger contains the smaller one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ml.data.profile_log import Key
from ml.data.profiles import Profile, profile_hours

if TYPE_CHECKING:
    import pandas as pd

    from ml.data.bins import BinSet


def in_sample(ids: Iterable[str], share: float) -> npt.NDArray[np.bool_]:
    """
    >>> in_sample(["p1", "p2", "p3", "p4"], 0.5).tolist()
    [True, False, True, True]
    """
    bound = round(share * 2**64)
    return np.array([_place(name) < bound for name in ids], np.bool_)


def _place(name: str) -> int:
    """Evenly between 0 and 2^64; keyed, so that it has nothing to do with other shares taken by hashes of ids."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=b"watchkeeper.sample").digest()
    return int.from_bytes(digest, "big")


def profiles_of(frame: pd.DataFrame, bins: BinSet) -> dict[Key, Profile]:
    """Profiles of a log frame by hour and version."""
    return {
        (hour, str(version)): profile
        for version, rows in frame.groupby("model_version", sort=True)
        for hour, profile in profile_hours(rows, bins).items()
    }
