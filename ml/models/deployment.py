"""Changes things: which registered version answers, and which one beside it. Promoting and rolling back are one act,
with another intention.

MLflow's aliases have no compare-and-set. The check and the change happen under a file lock where the registry is a
local SQLite file, and are followed by a read-back everywhere. Between two machines a race of milliseconds remains,
which the executor's lease closes: one proposal is executed by one worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ml.errors import Conflict
from ml.models import tracking
from ml.models.registry import CANARY, CHAMPION, PREVIOUS, SHADOW, SHARE_TAG, Registry


@dataclass(frozen=True, slots=True)
class Switched:
    """from_version answered before (None: none did), to_version answers now. changed: False when it already did."""

    model: str
    from_version: str | None
    to_version: str
    changed: bool


def promote(
    registry: Registry,
    model: str,
    version: str,
    *,
    expected: str | None,
    confirm: Callable[[], None] = lambda: None,
) -> Switched:
    """Make `version` the champion if the champion is the `expected` one (None: if there is none yet).

    Idempotent: when `version` is champion already, nothing changes and the answer says so. confirm: asked last, while
    nobody else can switch; what it raises leaves everything as it is.
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
        confirm()
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


def stage(
    registry: Registry,
    model: str,
    version: str,
    *,
    share: float | None,
    expected: str,
    confirm: Callable[[], None] = lambda: None,
) -> None:
    """Let a version answer beside the champion: in the shadow (share None), or for a share of the ids, 0 to 1.

    Idempotent. confirm: as in `promote`. Raises: Conflict when the champion is not the `expected` one, or when another
    version answers in the shadow or as canary (somebody else's trial is not ended); NotFound; Unavailable.
    """
    version = registry.version(model, version).version
    with _guard(registry, model):
        aliases = {name: registry.alias(model, name) for name in (CHAMPION, CANARY, SHADOW)}
        if aliases[CHAMPION] != expected:
            raise Conflict(
                f"{model!r} was expected to be served by {_named(expected)}, but it is served by "
                f"{_named(aliases[CHAMPION])}; nothing was changed. Look again before deciding."
            )
        for name in (CANARY, SHADOW):
            if aliases[name] not in (None, version):
                raise Conflict(
                    f"{_named(aliases[name])} of {model!r} has the alias {name} already; "
                    "take it away in the registry, then release another."
                )
        confirm()
        if share is None:
            _end_canary(registry, model, aliases[CANARY])
            registry.store.ask(lambda client: client.set_registered_model_alias(model, SHADOW, version))
        else:
            if aliases[CANARY] is None:  # a share that was left over must not count for a moment
                _set_share(registry, model, 0.0)
                registry.store.ask(lambda client: client.set_registered_model_alias(model, CANARY, version))
            _set_share(registry, model, share)
            _end_shadow(registry, model, aliases[SHADOW])
        if (seen := registry.alias(model, SHADOW if share is None else CANARY)) != version:
            raise Conflict(f"{model!r} has {_named(seen)} where version {version} was put a moment ago; look again.")


def end_stages(registry: Registry, model: str, version: str, *, confirm: Callable[[], None] = lambda: None) -> None:
    """From now on a version answers neither in the shadow nor as canary. Idempotent; the champion is not touched.

    confirm: as in `promote`. Raises: Unavailable.
    """
    with _guard(registry, model):
        confirm()
        for name, end in ((CANARY, _end_canary), (SHADOW, _end_shadow)):
            if registry.alias(model, name) == version:
                end(registry, model, version)


def _end_canary(registry: Registry, model: str, version: str | None) -> None:
    if version is not None:
        _set_share(registry, model, 0.0)
        registry.store.lookup(lambda client: client.delete_registered_model_alias(model, CANARY))


def _end_shadow(registry: Registry, model: str, version: str | None) -> None:
    if version is not None:
        registry.store.lookup(lambda client: client.delete_registered_model_alias(model, SHADOW))


def _set_share(registry: Registry, model: str, share: float) -> None:
    registry.store.ask(lambda client: client.set_registered_model_tag(model, SHARE_TAG, f"{share:g}"))


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
