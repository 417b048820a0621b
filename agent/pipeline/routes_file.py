"""`notifications.yaml` as it is now: read again when it changes; where it cannot be read, as it was before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from agent.domain.errors import InvalidInput
from agent.domain.notifying import FILE, Notifications, load_notifications

log = logging.getLogger(__name__)


def routes_of(home: Path) -> Callable[[], Notifications]:
    """A function that gives the settings of a workspace. A file that is broken from the start is said at once.

    A mistake in an edit at night must not silence the watch: it is logged, and the last good settings hold.
    Raises: InvalidInput where the file is there and cannot be read now.
    """
    path = home / FILE
    good, seen = load_notifications(path), _stamp(path)

    def current() -> Notifications:
        nonlocal good, seen
        if (stamp := _stamp(path)) != seen:
            seen = stamp
            try:
                good = load_notifications(path)
            except InvalidInput as error:
                log.error("%s; the routes that held before go on", error)
        return good

    return current


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def secret_text(home: Path, text: str) -> str:
    """A secret, or what stands in the file of the workspace that `file:PATH` names. Raises: InvalidInput."""
    if not text.startswith("file:"):
        return text
    path = home / text.removeprefix("file:")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{FILE}: {path} cannot be read ({error}).") from None
