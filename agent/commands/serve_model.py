"""`serve-model`: the model server over a workspace's registry, where models are loaded, and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.output import console
from agent.commands.serve import address, listen
from agent.domain.errors import InvalidInput
from agent.doors import guard
from ml.spec import ModelSpec

if TYPE_CHECKING:
    from agent.settings import Settings
    from ml.serving.limits import Limits

SHORTEST = 16
"""Characters of a token that opens the server to other machines."""


def command(
    home: Path | None,
    *,
    port: int | None,
    workers: int,
    models: tuple[str, ...],
    memory: int,
    allow_pickle: bool,
    journal: int = 4096,
    when_full: str = "refuse",
    fsync: bool = False,
) -> None:
    """Serve until told to stop. Raises: InvalidInput, Unavailable."""
    from agent.settings import load_settings
    from agent.store import queries
    from agent.store.migrate import require_current
    from agent.store.session import Store
    from ml.serving import server
    from ml.serving.journal import Limits as Keeping
    from ml.serving.worker import WorkerSetup

    settings = load_settings(home=home)
    tokens = tuple(settings.serve_token.replace(",", " ").split())
    host, configured = reachable_by(settings.serve_bind, tokens)
    if not 1 <= workers <= 64:
        raise InvalidInput(f"--workers {workers}: give a number from 1 to 64; one a core is plenty.")
    if memory < 16:
        raise InvalidInput(f"--memory {memory}: give at least 16 MB.")
    if journal < 64:
        raise InvalidInput(f"--journal {journal}: give at least 64 MB.")
    if when_full not in ("refuse", "answer"):
        raise InvalidInput(f"--when-full {when_full}: say refuse (503), or answer (without logging).")
    store = Store(settings.database_url)
    require_current(store)

    def specs() -> Mapping[str, ModelSpec]:
        with store.read() as session:
            return queries.specs(session)

    if unknown := sorted(set(models) - set(specs())):
        raise InvalidInput(f"--model {unknown[0]}: there is no such model; `watchkeeper model list` shows them.")
    limits = limits_of(settings)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    root = settings.home / "serving"
    with listen(host, configured if port is None else port) as listening:
        bound = listening.getsockname()[1]
        setup = server.Setup(
            log_uri=settings.log_uri,
            specs=specs,
            saved=root / f"served-{bound}.json",
            worker=WorkerSetup(
                models=root / "models",
                journal=root / "journal",
                counts=root / f"metrics-{bound}",
                jobs=root / "jobs",
                registry_uri=settings.mlflow_uri,
                limits=limits,
                tokens=tokens,
                admit=guard.only_this_machine if guard.is_loopback(host) else None,
                allow_pickle=allow_pickle,
                memory=memory * 1024 * 1024,
                keeping=Keeping(
                    max_bytes=journal * 1024 * 1024,
                    when_full="answer" if when_full == "answer" else "refuse",
                    fsync=fsync,
                ),
            ),
            only=frozenset(models),
            workers=workers,
        )
        console.print(f"Models answer on [bold]{address(host, bound)}[/]. Ctrl-C ends it.")
        server.run(setup, listening)
    store.close()


def reachable_by(bind: str, tokens: tuple[str, ...]) -> tuple[str, int]:
    """Host and port. Raises: InvalidInput for an address that others can reach, without tokens."""
    host, port = guard.split_bind(bind)
    if guard.is_loopback(host):
        return host, port
    if not tokens:
        raise InvalidInput(
            f"serve_bind: {bind!r} could be reached from other machines, and anybody there could ask; set "
            f"WATCHKEEPER_SERVE_TOKEN, or use 127.0.0.1:{port}."
        )
    if short := [token for token in tokens if len(token) < SHORTEST]:
        raise InvalidInput(
            f"serve_token: a token of {len(short[0])} characters can be guessed; use {SHORTEST} or more "
            "(`openssl rand -hex 16` makes one)."
        )
    return host, port


def limits_of(settings: Settings) -> Limits:
    """Raises: InvalidInput when the rate is no number."""
    from ml.serving.limits import Limits

    try:
        rate = float(settings.serve_rate or 0)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < 1e9:
        raise InvalidInput(f"serve_rate: {settings.serve_rate!r} is no number of requests per second; 0 is no limit.")
    return Limits(per_second=rate)
