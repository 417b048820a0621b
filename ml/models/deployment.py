"""Changes things: which registered version answers. Promoting and rolling back are one act, with another intention.

MLflow's aliases have no compare-and-set. The check and the change happen under a file lock where the registry is a
local SQLite file, and are followed by a read-back everywhere. Between two machines a race of milliseconds remains,
which the executor's lease closes: one proposal is executed by one worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ml.errors import Conflict
from ml.models import tracking
from ml.models.registry import CHAMPION, PREVIOUS, Registry


@dataclass(frozen=True, slots=True)
class Switched:
    """from_version answered before (None: none did), to_version answers now. changed: False when it already did."""

    model: str
    from_version: str | None
    to_version: str
    changed: bool


def promote(registry: Registry, model: str, version: str, *, expected: str | None) -> Switched:
    """Make `version` the champion if the champion is the `expected` one (None: if there is none yet).

    Idempotent: when `version` is champion already, nothing changes and the answer says so.
    Raises: Conflict when another version is champion, NotFound when `version` does not exist, Unavailable.
    """
    version = registry.version(model, version).version
    with _guard(registry, model):
        current = registry.alias(model, CHAMPION)
        if current == version:
            return Switched(model, registry.alias(model, PREVIOUS), version, changed=False)
        if current != expected:
            raise Conflict(
                f"{model!r} was expected to be served by {_named(expected)}, but it is served by {_named(current)}; "
                "nothing was changed. Look again before deciding."
            )
        if current is not None:
            registry.store.ask(lambda client: client.set_registered_model_alias(model, PREVIOUS, current))
        registry.store.ask(lambda client: client.set_registered_model_alias(model, CHAMPION, version))
        if (seen := registry.alias(model, CHAMPION)) != version:
            raise Conflict(
                f"{model!r} was switched to version {version} and reads back as {_named(seen)}: somebody else changed "
                "it at the same moment. Look again before deciding."
            )
    return Switched(model, current, version, changed=True)


def rollback(registry: Registry, model: str, to_version: str, *, expected: str) -> Switched:
    """Make an earlier version champion again: `promote`, said as it is meant. Raises: as `promote`."""
    return promote(registry, model, to_version, expected=expected)


def _named(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"


@contextmanager
def _guard(registry: Registry, model: str) -> Iterator[None]:
    path = tracking.sqlite_file(registry.uri)
    if path is None:
        yield
        return
    with tracking.file_lock(path.with_name(f"{path.name}.{model}.lock")):
        yield
