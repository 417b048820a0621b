"""The file that a backup is: a compressed tar of regular files, the last of them a list of the others and their hashes.

It can be read without Watchkeeper: `tar -xzf`; `database.db` is a SQLite file, whichever database it was taken from.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from agent.domain.errors import InvalidInput, Unavailable

MANIFEST, DATABASE, MLFLOW, HOME = "manifest.json", "database.db", "mlflow.db", "home/"
FORM = 1
MOST_MANIFEST = 256 * 1024 * 1024


class Writer:
    """Adds files and remembers what they held."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: dict[str, str] = {}

    def add(self, path: Path, name: str) -> None:
        """A file as it is now; one that grows meanwhile is taken as long as it was. Raises: OSError."""
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = status.st_size, int(status.st_mtime), 0o700 & status.st_mode | 0o600
            read = _Hashed(file)
            self._tar.addfile(info, cast("IO[bytes]", read))
        self.files[name] = read.hash.hexdigest()

    def close(self, told: dict[str, Any]) -> None:
        text = json.dumps({"form": FORM, **told, "files": self.files}, indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(text), 0o600
        self._tar.addfile(info, io.BytesIO(text))


class _Hashed:
    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        found = self._file.read(size)
        self.hash.update(found)
        return found


@contextmanager
def written(target: Path) -> Iterator[Writer]:
    """A new archive, its owner's alone: there when the block has ended well, else not at all.

    Raises: InvalidInput when there is such a file already, Unavailable when it cannot be written.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        if target.exists():
            raise InvalidInput(f"{target} is there already; give the name of a new file.")
        with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=3) as tar:
                yield Writer(tar)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, target)
    except FileExistsError:
        raise InvalidInput(f"{target} is there already; give the name of a new file.") from None
    except OSError as error:
        raise Unavailable(f"{target} cannot be written ({error.strerror or error}).") from None
    finally:
        part.unlink(missing_ok=True)


def unpacked(archive: Path, into: Path) -> dict[str, Any]:
    """What the archive says of itself, with its files laid out in the empty folder `into`, each as it was put in.

    Raises: InvalidInput when it is no such archive, or any file of it is missing, changed or out of place; Unavailable.
    """
    found: dict[str, str] = {}
    told: dict[str, Any] | None = None
    try:
        with tarfile.open(archive, mode="r|gz") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isreg() and told is None else None
                if file is None or not _is_in_place(member.name) or member.name in found:
                    raise InvalidInput(f"{archive}: {member.name[:200]!r} does not belong into a backup; nothing done.")
                if member.name == MANIFEST:
                    told = json.loads(file.read(MOST_MANIFEST))
                else:
                    found[member.name] = _write(file, into / member.name, member.mode)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, ValueError, zlib.error) as error:
        raise InvalidInput(f"{archive} is not a whole backup ({error}); nothing was done.") from None
    except FileNotFoundError:
        raise InvalidInput(f"There is no file {archive}; `watchkeeper backup` writes one.") from None
    except OSError as error:
        raise Unavailable(f"{archive} cannot be unpacked ({error.strerror or error}).") from None
    if not isinstance(told, dict) or told.get("form") != FORM or not _is_complete(told):
        raise InvalidInput(f"{archive} is not a whole backup of this version of Watchkeeper; nothing was done.")
    if wrong := sorted(
        name for name in found.keys() | told["files"].keys() if found.get(name) != told["files"].get(name)
    ):
        raise InvalidInput(f"{archive}: {wrong[0]!r} is missing or not as it was put in; nothing was done.")
    return told


def _is_complete(told: dict[str, Any]) -> bool:
    mlflow = told.get("mlflow")
    return (
        isinstance(told.get("files"), dict)
        and all(isinstance(told.get(name), str) for name in ("home", "taken_at"))
        and (mlflow is None or (isinstance(mlflow, str) and _is_in_place(HOME + mlflow)))
    )


def _is_in_place(name: str) -> bool:
    if name in (MANIFEST, DATABASE, MLFLOW):
        return True
    path = PurePosixPath(name)
    return name.startswith(HOME) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _write(source: IO[bytes], target: Path, mode: int) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with os.fdopen(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600 | mode & 0o700), "wb") as file:
        while block := source.read(1 << 20):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
