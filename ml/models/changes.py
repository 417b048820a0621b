"""Whether the registry may have changed, cheaply: who follows it asks this twenty times a second, and the registry
itself only when the answer is yes."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from ml.models import tracking


class Changes:
    """Watches the store at a normal address. Used by one thread.

    cheap: whether this can be told at all, which is so for a local SQLite file; of any other store it is not known.
    """

    def __init__(self, uri: str) -> None:
        self._path = tracking.sqlite_file(uri)
        self._connection: sqlite3.Connection | None = None
        self._seen: tuple[object, ...] = ()

    @property
    def cheap(self) -> bool:
        return self._path is not None

    def since_last_asked(self) -> bool:
        """True where anything was committed to the store, and where that cannot be told (it is away, or no file)."""
        if self._path is None:
            return True
        try:
            now = self._state(self._path)
        except (sqlite3.Error, OSError):
            self.close()
            self._seen = ()
            return True
        before, self._seen = self._seen, now
        return now != before

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _state(self, path: Path) -> tuple[object, ...]:
        """SQLite counts the commits of other connections; the file itself may have been put in place of another."""
        file = os.stat(path)
        place = (file.st_dev, file.st_ino)
        if self._connection is None or self._seen[:1] != (place,):
            self.close()
            self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.0)
        (count,) = self._connection.execute("PRAGMA data_version").fetchone()
        return place, file.st_mtime_ns, file.st_size, count
