"""`python -m benchmarks.inbound`: 10,000 alerts of an Alertmanager in five minutes, 60 % of them sent before.

A process serves the door and works on what comes, another one sends, each alert in a request of its own and tried again
until it is acknowledged. Measured: seconds from sending to the acknowledgement. Counted afterwards: every fingerprint
is one alert, every key is one open incident. On SQLite, and on PostgreSQL where one can be started.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import math
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.audit.run import _postgres as postgres
from benchmarks.inbound.stream import Stream, stream
from benchmarks.measure import archive, table

SECRET = "whsec_" + base64.b64encode(b"a secret of the benchmark's own.").decode()
AT_ONCE = 50


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--alerts", type=int, default=10_000)
    options.add_argument("--seconds", type=float, default=300.0, help="over which they are spread")
    given = options.parse_args()
    sent = stream(given.alerts)
    found = []
    with tempfile.TemporaryDirectory(prefix="watchkeeper-") as folder:
        found.append({"database": "SQLite", **measure(f"sqlite:///{folder}/watch.db", sent, given.seconds)})
        with postgres(Path(folder)) as address:
            if address:
                found.append({"database": "PostgreSQL", **measure(address, sent, given.seconds)})
    header = ["", "alerts", "over s", "p50 ms", "p99 ms", "worst ms", "sent again", "alerts kept", "incidents", "lost"]
    names = ("database", "alerts", "seconds", "p50", "p99", "worst", "again", "kept", "incidents", "lost")
    sys.stdout.write(table("alerts acknowledged", header, [[one[name] for name in names] for one in found]) + "\n")
    sys.stdout.write(f"kept in {archive('inbound', {'rows': found})}\n")


def measure(url: str, sent: Stream, seconds: float) -> dict[str, Any]:
    """Send a stream over some seconds to a door of its own."""
    from agent.store.migrate import upgrade
    from agent.store.session import Store

    store = Store(url)
    upgrade(store)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(url, port), daemon=True)
    server.start()
    try:
        took, again = asyncio.run(_send(f"http://127.0.0.1:{port}", sent.bodies, seconds))
        _wait_until_worked(store)
    finally:
        server.terminate()
        server.join()
    took.sort()
    result = {
        "alerts": sent.alerts,
        "seconds": seconds,
        "p50": round(statistics.median(took) * 1000, 1),
        "p99": round(took[math.ceil(len(took) * 0.99) - 1] * 1000, 1),
        "worst": round(took[-1] * 1000, 1),
        "again": again,
        **counted(store, sent),
    }
    store.close()
    return result


def counted(store: Any, sent: Stream) -> dict[str, int]:
    """What is in the records: alerts, open incidents, and how many fingerprints are missing."""
    from sqlalchemy import func, select

    from agent.store.tables import Alert, Incident

    with store.read() as session:
        kept = session.scalar(select(func.count()).select_from(Alert)) or 0
        fingerprints = session.scalar(select(func.count(Alert.fingerprint.distinct()))) or 0
        incidents = session.scalar(select(func.count()).where(Incident.state == "open")) or 0
    return {"kept": kept, "incidents": incidents, "lost": sent.fingerprints - fingerprints}


def serve(url: str, port: int) -> None:
    """The door and its workers, until the process is ended."""
    from agent.commands.serve import listen, serve_on
    from agent.domain.policy import Policy
    from agent.doors.inbound import Workers
    from agent.pipeline import outside
    from agent.pipeline.services import Services
    from agent.store.session import Store
    from notifications.journal import Journal

    services = Services(
        home=Path(),
        store=Store(url),
        log=None,
        registry=None,
        policy=Policy,
        channel=Journal(Path("/dev/null")),
        wall=lambda: datetime.now(UTC),
        alerts_secrets=(SECRET,),
    )
    workers = Workers(services, outside.HANDLERS).start()
    with listen("127.0.0.1", port) as listening:
        serve_on(services, listening, wake=workers.wake)


async def _send(address: str, bodies: list[bytes], seconds: float) -> tuple[list[float], int]:
    """Seconds of each acknowledgement, from the first try on; how many tries were made again."""
    import httpx

    took: list[float] = []
    again = 0
    headers = {"authorization": f"Bearer {SECRET}", "content-type": "application/json"}
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=10) as client:
        while True:
            try:
                if (await client.get("/healthz")).is_success:
                    break
            except httpx.TransportError:
                await asyncio.sleep(0.1)

        async def one(body: bytes) -> None:
            nonlocal again
            async with gate:
                began = time.perf_counter()
                while True:
                    try:
                        answer = await client.post("/api/v1/webhooks/alertmanager", content=body)
                        if answer.status_code == 202:
                            break
                    except httpx.TransportError:
                        pass
                    again += 1
                    await asyncio.sleep(0.5)
                took.append(time.perf_counter() - began)

        start, tasks = time.perf_counter(), []
        for number, body in enumerate(bodies):
            await asyncio.sleep(max(0.0, start + number * seconds / len(bodies) - time.perf_counter()))
            tasks.append(asyncio.create_task(one(body)))
        await asyncio.gather(*tasks)
    return took, again


def _wait_until_worked(store: Any) -> None:
    from sqlalchemy import func, select

    from agent.store.tables import InboundEvent

    for _ in range(6000):
        with store.read() as session:
            if not session.scalar(select(func.count()).where(InboundEvent.state == "waiting")):
                return
        time.sleep(0.1)
    raise SystemExit("what was acknowledged is not worked on after ten minutes")
