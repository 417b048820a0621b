"""How far a folder of the journal is in the log."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

NAME = "cursor"
_FORM = struct.Struct("<qqI")


@dataclass(frozen=True, slots=True)
class Cursor:
    """done: the position up to which records are in the log. pending: the end of the stretch that is being committed,
    written down before, so that after a crash exactly that stretch is committed again.

    The file is made with the folder and written in place: on a full disk too, as else it would never become less full.
    """

    done: int = 0
    pending: int | None = None

    @classmethod
    def of(cls, folder: Path) -> Cursor:
        """The folder's; from the start where there is none that can be read: the log refuses what it has."""
        try:
            data = (folder / NAME).read_bytes()
        except FileNotFoundError:
            return cls()
        if len(data) != _FORM.size:
            return cls()
        done, pending, checksum = _FORM.unpack(data)
        if zlib.crc32(data[:16]) != checksum:
            return cls()
        return cls(done, None if pending < 0 else pending)

    def save(self, folder: Path) -> None:
        """Raises: OSError."""
        content = struct.pack("<qq", self.done, -1 if self.pending is None else self.pending)
        file = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, content + struct.pack("<I", zlib.crc32(content)), 0)
        finally:
            os.close(file)
