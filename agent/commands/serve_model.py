"""`serve-model`: the model server over a workspace's registry."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path

from agent.commands.output import console
from agent.commands.serve import address, listen
from agent.domain.errors import InvalidInput
from agent.doors import guard
from ml.spec import ModelSpec

PORT = 8001


def command(home: Path | None, *, port: int, workers: int, models: tuple[str, ...], allow_pickle: bool) -> None:
    """Serve until told to stop. Raises: InvalidInput, Unavailable."""
    from agent.settings import load_settings
    from ml.serving import server
    from ml.serving.worker import WorkerSetup

    settings = load_settings(home=home)
    host, _ = guard.require_loopback(settings.bind)
    if not 1 <= workers <= 64:
        raise InvalidInput(f"--workers {workers}: give a number from 1 to 64; one a core is plenty.")
    specs = partial(read_specs, settings.database_url)
    if unknown := sorted(set(models) - set(specs())):
        raise InvalidInput(f"--model {unknown[0]}: there is no such model; `watchkeeper model list` shows them.")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    root = settings.home / "serving"
    with listen(host, port) as listening:
        port = listening.getsockname()[1]
        setup = server.Setup(
            log_uri=settings.log_uri,
            specs=specs,
            saved=root / f"served-{port}.json",
            worker=WorkerSetup(
                models=root / "models",
                journal=root / "journal",
                counts=root / f"metrics-{port}",
                registry_uri=settings.mlflow_uri,
                admit=guard.only_this_machine,
                allow_pickle=allow_pickle,
            ),
            only=frozenset(models),
            workers=workers,
        )
        console.print(f"Models answer on [bold]{address(host, port)}[/]. Ctrl-C ends it.")
        server.run(setup, listening)


@lru_cache(maxsize=1)
def _store(url: str):  # type: ignore[no-untyped-def]
    from agent.store.session import Store

    return Store(url)


def read_specs(url: str) -> Mapping[str, ModelSpec]:
    """Every model's spec, as the store has it now. Raises: Unavailable."""
    from agent.store import queries

    with _store(url).read() as session:
        return queries.specs(session)
