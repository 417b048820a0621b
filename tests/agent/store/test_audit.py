"""The audit chain, on both databases: whole when it is, and the first fault found and located when it is not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, text, update

from agent.store import audit
from agent.store.migrate import upgrade
from agent.store.session import Store
from agent.store.tables import AuditEvent, AuditHead

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def store(database_url):
    made = Store(database_url)
    upgrade(made)
    yield made
    made.close()


def write(store, count):
    for number in range(count):
        with store.write() as session:
            data = {"n": number, "tiny": 1.5e-9, "text": "ü\u202e"}
            audit.append(session, at=NOW, actor="ann", event="tested", subject="s", data=data)


def test_an_untouched_chain_is_whole(store):
    write(store, 5)
    with store.read() as session:
        assert audit.verify(session) == (5, None)


@pytest.mark.parametrize(
    ("change", "seq", "says"),
    [
        (update(AuditEvent).where(AuditEvent.seq == 3).values(actor="eve"), 3, "changed after"),
        (update(AuditEvent).where(AuditEvent.seq == 3).values(data={"n": 99}), 3, "changed after"),
        (delete(AuditEvent).where(AuditEvent.seq == 2), 2, "is missing"),
        (delete(AuditEvent).where(AuditEvent.seq == 5), 5, "ends at event 4"),
        (update(AuditHead).values(seq=4), 6, "but 4 were written"),
    ],
)
def test_tampering_is_found_and_located(store, change, seq, says):
    write(store, 5)
    with store.write() as session:
        session.execute(change)
    with store.read() as session:
        fault = audit.verify(session)[1]
    assert fault is not None
    assert (fault.seq, says in fault.what) == (seq, True)


def test_two_events_that_changed_places_are_found(store):
    write(store, 4)
    with store.write() as session:
        for before, after in ((2, 20), (3, 2), (20, 3)):
            session.execute(
                text("UPDATE audit SET seq = :after WHERE seq = :before"), {"before": before, "after": after}
            )
    with store.read() as session:
        fault = audit.verify(session)[1]
    assert fault is not None
    assert fault.seq == 2


def test_concurrent_appends_make_one_chain(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write(store, 5), range(8)))
    with store.read() as session:
        assert audit.verify(session) == (40, None)


def test_nothing_is_kept_of_a_change_whose_transaction_failed(store):
    with pytest.raises(RuntimeError, match="after the append"), store.write() as session:
        audit.append(session, at=NOW, actor="ann", event="tested", subject="s")
        raise RuntimeError("after the append")
    with store.read() as session:
        assert audit.verify(session) == (0, None)
