"""The audit chain, on both databases: whole when it is; every tampering found and located; changes refused outright."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DatabaseError

from agent.store import audit
from agent.store.session import Store
from agent.store.tables import AuditEvent, AuditHead
from tests.agent.store.tampering import NOW, TAMPERINGS, change, drop_triggers, rehash, write
from tests.furnish import furnish


@pytest.fixture
def store(database_url):
    made = Store(database_url)
    furnish(made)
    yield made
    made.close()


def verify(store, kept=None):
    with store.read() as session:
        return audit.verify(session, kept)


def test_an_untouched_chain_is_whole_and_says_its_end(store):
    assert verify(store) == audit.Finding(0, 0, audit.GENESIS, ())
    write(store, 5)
    found = verify(store)
    assert (found.events, found.seq, found.whole) == (5, 5, True)
    with store.read() as session:
        assert session.get_one(AuditHead, 1).hash == found.hash


@pytest.mark.parametrize(
    ("tamper", "places"),
    [
        (update(AuditEvent).where(AuditEvent.seq == 3).values(actor="eve"), [(3, "changed after")]),
        (update(AuditEvent).where(AuditEvent.seq == 3).values(previous="0" * 64), [(3, "follow"), (3, "changed")]),
        (delete(AuditEvent).where(AuditEvent.seq == 2), [(2, "event 2 is missing")]),
        (delete(AuditEvent).where(AuditEvent.seq.in_((2, 3))), [(2, "events 2 to 3 are missing")]),
        (delete(AuditEvent).where(AuditEvent.seq > 3), [(4, "events 4 to 5 are missing: the chain ends at event 3")]),
        (update(AuditHead).values(seq=4), [(5, "event 5 was added past the end")]),
        (update(AuditHead).values(hash="0" * 64), [(5, "the recorded end of the chain is not event 5")]),
        (delete(AuditHead), [(6, "not recorded any more")]),
        (update(AuditEvent).where(AuditEvent.seq.in_((2, 4))).values(actor="eve"), [(2, "changed"), (4, "changed")]),
    ],
)  # fmt: skip
def test_every_place_of_a_tampering_is_named(store, tamper, places):
    write(store, 5)
    with store.write() as session:
        drop_triggers(session)
        session.execute(tamper)
    faults = verify(store).faults
    assert [fault.seq for fault in faults] == [seq for seq, _ in places]
    assert all(says in fault.what for fault, (_, says) in zip(faults, places, strict=True)), faults


def test_a_thousand_random_tamperings_are_all_found_and_located(store):
    """Each on the same untouched chain, rolled back after it was looked at."""
    rng, n = random.Random(20261121), 12
    write(store, n)
    with store.write() as session:
        drop_triggers(session)
    for number in range(1000):
        tamper = TAMPERINGS[number % len(TAMPERINGS)]
        with pytest.raises(InterruptedError), store.write() as session:
            places = tamper(session, rng, n)
            session.flush()
            faults = audit.verify(session).faults
            assert faults, f"{tamper.__name__} number {number} was not found"
            assert faults[0].seq in places, (tamper.__name__, number, places, faults)
            raise InterruptedError("roll back")
    assert verify(store).whole


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'eve' WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 5",
        "UPDATE audit_head SET seq = 4",
        "UPDATE audit_head SET hash = 'x'",
        "DELETE FROM audit_head",
        "TRUNCATE audit",
        "TRUNCATE audit_head",
    ],
)
def test_the_database_refuses_to_change_what_was_written(store, statement):
    if statement.startswith("TRUNCATE") and store.engine.dialect.name == "sqlite":
        statement = "DELETE FROM audit"
    write(store, 5)
    with pytest.raises(DatabaseError, match=r"append-only|only moves on by one"), store.write() as session:
        session.execute(text(statement))
    assert verify(store).whole


def test_who_rewrites_the_whole_chain_is_found_by_what_was_exported(store):
    """Nothing inside the database can show this: whoever may write every row can make a new, whole chain."""
    write(store, 6)
    with store.read() as session:
        lines = list(audit.export(session))
    kept, fault = audit.kept_hashes(iter(lines))
    assert (len(kept), fault) == (6, None)
    write(store, 2, start=6)
    assert verify(store, kept).whole
    with store.write() as session:
        drop_triggers(session)
        change(session, 4, actor="eve")
        for seq in range(4, 9):
            rehash(session, seq)
            made = session.execute(text("SELECT hash FROM audit WHERE seq = :seq"), {"seq": seq}).scalar_one()
            change(session, seq + 1, previous=made)
        session.execute(update(AuditHead).values(hash=made))
    assert verify(store).whole
    faults = verify(store, kept).faults
    assert [fault.seq for fault in faults] == [4, 5, 6]
    assert faults[0].what == "event 4 is not the one that was exported"


def test_a_tail_cut_off_with_its_end_set_back_is_found_by_what_was_exported(store):
    write(store, 6)
    with store.read() as session:
        kept, _ = audit.kept_hashes(audit.export(session))
    with store.write() as session:
        drop_triggers(session)
        session.execute(delete(AuditEvent).where(AuditEvent.seq > 3))
        session.execute(update(AuditHead).values(seq=3, hash=kept[3]))
    assert verify(store).whole
    (fault,) = verify(store, kept).faults
    assert (fault.seq, "event 4 was exported and is gone" in fault.what) == (4, True)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda lines: [lines[0], lines[1].replace("ann", "eve"), lines[2]], 2),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: [lines[0], "{}", lines[2]], 2),
        (lambda lines: [lines[0], lines[1], "not json"], 3),
    ],
)
def test_an_export_that_was_touched_is_refused(store, spoil, line):
    write(store, 3)
    with store.read() as session:
        lines = list(audit.export(session))
    assert audit.kept_hashes(iter(spoil(lines)))[1].seq == line


def test_concurrent_appends_make_one_chain(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write(store, 5), range(8)))
    found = verify(store)
    assert (found.events, found.faults) == (40, ())


def test_nothing_is_kept_of_a_change_whose_transaction_failed(store):
    with pytest.raises(RuntimeError, match="after the append"), store.write() as session:
        audit.append(session, at=NOW, actor="ann", event="tested", subject="s")
        raise RuntimeError("after the append")
    assert verify(store).events == 0
