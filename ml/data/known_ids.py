"""Which ids stand in a table already, without reading it again for every append.

Files of a Delta table never change, so the hashes of a file's ids are kept for as long as it is part of the table:
8 bytes an id. Ids whose hash is found are looked up for certain.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.data.delta import files_between

if TYPE_CHECKING:
    from deltalake import DeltaTable

Hashes = npt.NDArray[np.uint64]


class KnownIds:
    """Remembers the ids of tables, by table and file. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, dict[str, Hashes]] = {}

    def among(self, table: DeltaTable, ids: pd.Series, since: datetime | None = None) -> set[str]:
        """Those of the ids that the table has; with `since`, only files that reach to that time are looked at."""
        hashes = _hashed(ids)
        suspects: dict[str, npt.NDArray[np.bool_]] = {}
        for file, known in self._of(table, since).items():
            if len(known):
                at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
                found = known[at] == hashes
                if found.any():
                    suspects[file] = found
        if not suspects:
            return set()
        wanted = set(ids[np.logical_or.reduce(list(suspects.values()))])
        return {name for names in _read(table, set(suspects)).values() for name in names if name in wanted}

    def _of(self, table: DeltaTable, since: datetime | None) -> dict[str, Hashes]:
        uris = table.file_uris() if since is None else files_between(table, "timestamp", since, None)
        files = {_basename(file) for file in uris}
        with self._lock:
            kept = {file: known for file, known in self._files.get(table.table_uri, {}).items() if file in files}
            if missing := files - set(kept):
                kept |= {file: np.sort(_hashed(names)) for file, names in _read(table, missing).items()}
            self._files[table.table_uri] = kept
            return dict(kept)


def _basename(file: str) -> str:
    return file.rsplit("/", 1)[-1]


def _read(table: DeltaTable, files: set[str]) -> dict[str, pd.Series]:
    """The ids of some files, through whatever reaches the table."""
    fragments = table.to_pyarrow_dataset().get_fragments()
    return {
        _basename(fragment.path): fragment.to_table(columns=["prediction_id"])["prediction_id"].to_pandas()
        for fragment in fragments
        if _basename(fragment.path) in files
    }


def _hashed(ids: pd.Series) -> Hashes:
    return pd.util.hash_array(ids.to_numpy(dtype=object), categorize=False)
