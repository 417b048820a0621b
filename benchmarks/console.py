"""The console under load: `python -m benchmarks.console [--users 100] [--seconds 60] [--streams 1000] [--short]`.

One serving process over a workspace on SQLite, asked by another process on the same machine. 100 people, each signed
in, look at pages and read each for 2 to 8 seconds; then 1,000 open pages of theirs listen to live events while changes
are committed by a third party. Prints the time that each page takes, the time from a commit to each open page hearing
of it, and the memory.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx

from agent.bootstrap import build
from agent.commands.workspace import init_workspace
from agent.pipeline import people
from agent.pipeline.report import write_report
from agent.pipeline.services import Services
from agent.pipeline.sessions import open_session
from agent.settings import load_settings
from agent.store import audit, queries
from agent.store.tables import Incident, Proposal, Report

SERVE = """
import sys
from pathlib import Path
from agent.bootstrap import build
from agent.commands.serve import listen, serve_on
from agent.settings import load_settings
with listen("127.0.0.1", int(sys.argv[2])) as listening:
    serve_on(build(load_settings({}, home=Path(sys.argv[1]))), listening)
"""
READS = (2.0, 8.0)


def prepare(home: Path, users: int) -> tuple[Services, list[str], list[str]]:
    """Ten models with their stories; the pages that people look at; a session of each of them."""
    from tests.agent.conversation.offline.workspace import populate
    from tests.agent.reports.story import Story, day

    init_workspace(home, person="ann")
    services = build(load_settings({}, home=home))
    with services.store.write() as session:
        populate(session)
        for number in range(7):
            story = Story(session, name=f"model-{number}").whole()
            write_report(services, session, queries.spec_of(session, story.name), story.incident, day(43))
        everybody = [people.add(session, services, f"person {n}", role="approver", by="bench") for n in range(users)]
        secrets = [open_session(session, services, person, how="bench").secret for person in everybody]
    with services.store.read() as session:
        incident, proposal = session.query(Incident.id).first()[0], session.query(Proposal.id).first()[0]
        reports = [row.id for row in session.query(Report).limit(1)]
    return services, [
        "/", "/approvals", f"/approvals/{proposal}", "/incidents", f"/incidents/{incident}", "/models/churn", "/alerts",
        "/activity", "/reports", *(f"/reports/{one}" for one in reports), "/chat", "/settings", "/profile",
    ], secrets  # fmt: skip


def memory(process: subprocess.Popen[bytes]) -> float:
    """Resident memory in MB."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else float("nan")


async def look_around(base: str, pages: list[str], secrets: list[str], seconds: float) -> dict[str, list[float]]:
    """Seconds that each page took; an answer that is no page ends the benchmark."""
    took: dict[str, list[float]] = defaultdict(list)
    end = time.perf_counter() + seconds
    limits = httpx.Limits(max_connections=len(secrets), max_keepalive_connections=len(secrets))
    async with httpx.AsyncClient(base_url=base, limits=limits, timeout=30) as client:

        async def person(seed: int) -> None:
            chance, headers = random.Random(seed), {"accept": "text/html", "cookie": f"watchkeeper={secrets[seed]}"}
            await asyncio.sleep(chance.uniform(0, READS[1]))
            while time.perf_counter() < end:
                page, began = chance.choice(pages), time.perf_counter()
                answer = await client.get(page, headers=headers)
                took[page].append(time.perf_counter() - began)
                assert answer.status_code == 200, (page, answer.status_code, answer.text[:300])
                await asyncio.sleep(chance.uniform(*READS))

        await asyncio.gather(*(person(seed) for seed in range(len(secrets))))
    return took


class Listener(asyncio.Protocol):
    """An open page: notes when it hears of each event. No more than that, since all of them share one process."""

    def __init__(self, secret: str, committed: dict[int, float], waits: list[float], opened: list[int]) -> None:
        self.secret, self.committed, self.waits, self.opened = secret, committed, waits, opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        cookie = f"cookie: watchkeeper={self.secret}"
        transport.write(f"GET /live HTTP/1.1\r\nhost: 127.0.0.1\r\n{cookie}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if b"event: hello" in data:
            self.opened.append(1)
        if b"event: change" in data:
            seq = int(data.partition(b"id: ")[2].partition(b"\n")[0])
            if seq in self.committed:
                self.waits.append(now - self.committed[seq])


async def listen(port: int, services: Services, secrets: list[str], streams: int, events: int) -> list[float]:
    """Seconds from each commit until each stream heard of it."""
    committed: dict[int, float] = {}
    waits: list[float] = []
    opened: list[int] = []
    loop, pages = asyncio.get_running_loop(), []
    for number in range(streams):
        secret = secrets[number % len(secrets)]
        pages.append(
            await loop.create_connection(lambda one=secret: Listener(one, committed, waits, opened), "127.0.0.1", port)
        )
    while len(opened) < streams:
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    for number in range(events):
        await asyncio.to_thread(_commit, services, number, committed)
        await asyncio.sleep(random.uniform(0.4, 0.9))
    await asyncio.sleep(2)
    for transport, _ in pages:
        transport.close()
    return waits


def _commit(services: Services, number: int, committed: dict[int, float]) -> None:
    with services.store.write() as session:
        data = {"n": number}
        row = audit.append(session, at=services.wall(), actor="bench", event="noted", subject="churn", data=data)
        committed[row.seq] = time.perf_counter()  # a moment before the commit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--events", type=int, default=40)
    parser.add_argument("--short", action="store_true", help="a tenth of it")
    given = parser.parse_args()
    if given.short:
        given.users, given.seconds, given.streams, given.events = 20, 15, 100, 10
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    port = 20000 + os.getpid() % 20000
    with tempfile.TemporaryDirectory() as folder:
        services, pages, secrets = prepare(Path(folder) / "watch", given.users)
        process = subprocess.Popen([sys.executable, "-c", SERVE, str(services.home), str(port)])
        try:
            run(given, process, services, pages, secrets, port)
        finally:
            process.terminate()
            process.wait(20)


def run(
    given: argparse.Namespace,
    process: subprocess.Popen[bytes],
    services: Services,
    pages: list[str],
    secrets: list[str],
    port: int,
) -> None:
    base = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            httpx.get(base + "/healthz")
            break
        except httpx.TransportError:
            time.sleep(0.2)
    for page in pages * 2:
        httpx.get(base + page, timeout=60, headers={"cookie": f"watchkeeper={secrets[0]}"}).raise_for_status()
    before = memory(process)
    took = asyncio.run(look_around(base, pages, secrets, given.seconds))
    print(f"{given.users} people for {given.seconds:.0f} s, each reading 2 to 8 s; load {os.getloadavg()[0]:.1f}")
    print(f"{'page':<28}{'asked':>7}{'median':>10}{'p95':>10}")
    for page, values in sorted(took.items()):
        print(
            f"{page:<28}{len(values):>7}{quantile(values, 0.5) * 1000:>7.0f} ms{quantile(values, 0.95) * 1000:>7.0f} ms"
        )
    every = [value for values in took.values() for value in values]
    whole = f"{quantile(every, 0.5) * 1000:>7.0f} ms{quantile(every, 0.95) * 1000:>7.0f} ms"
    print(f"{'all':<28}{len(every):>7}{whole}")
    after = memory(process)
    print(f"memory {before:.0f} MB before, {after:.0f} MB after")
    waits = asyncio.run(listen(port, services, secrets, given.streams, given.events))
    print(f"{given.streams} streams, {given.events} events: {len(waits)} of {given.streams * given.events} heard")
    print(
        f"from commit to reader: median {quantile(waits, 0.5) * 1000:.0f} ms, p99 {quantile(waits, 0.99) * 1000:.0f} ms"
    )
    print(f"memory {memory(process):.0f} MB; load {os.getloadavg()[0]:.1f}")
    again = asyncio.run(listen(port, services, secrets, given.streams, given.events // 2))
    print(f"once more: p99 {quantile(again, 0.99) * 1000:.0f} ms; memory {memory(process):.0f} MB")


if __name__ == "__main__":
    main()
