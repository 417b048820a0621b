"""The audit: append-only, each event bound to all before it by a hash, in the transaction of the change it records.

What is hashed is the canonical JSON of the event and the hash before it; it is put together from the very texts that
are stored. The end of the chain stands in a row of its own, so that a cut-off tail is found. Who can rewrite every
table can rewrite the whole chain and its end: that is found by what was exported before, kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from json.encoder import encode_basestring as quoted
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from agent.store.tables import AuditEvent, AuditHead
from tools.actions import canonical_json

GENESIS = "0" * 64
BATCH = 5000
MOST_FAULTS = 100


def link(seq: int, at: str, actor: str, event: str, subject: str, data: str, previous: str) -> str:
    """SHA-256 over the canonical JSON of an event; `at` is its time in ISO form, `data` is canonical JSON already."""
    content = (
        f'{{"actor":{quoted(actor)},"at":{quoted(at)},"data":{data},"event":{quoted(event)},'
        f'"previous":{quoted(previous)},"seq":{seq},"subject":{quoted(subject)}}}'
    )
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def append(
    session: Session, *, at: datetime, actor: str, event: str, subject: str, data: Mapping[str, Any] | None = None
) -> AuditEvent:
    """Add one event to the chain. `data` is plain JSON. The head's row lock puts concurrent appends in order."""
    head = session.execute(select(AuditHead).where(AuditHead.id == 1).with_for_update()).scalar_one()
    session.refresh(head)
    seq, payload = head.seq + 1, dict(data or {})
    written = canonical_json(payload).decode()
    row = AuditEvent(
        seq=seq,
        at=at,
        actor=actor,
        event=event,
        subject=subject,
        data=json.loads(written),
        previous=head.hash,
        hash=link(seq, at.isoformat(), actor, event, subject, written, head.hash),
    )
    session.add(row)
    head.seq, head.hash = seq, row.hash
    session.flush()
    return row


def is_genuine(row: AuditEvent) -> bool:
    """Whether one event is the one that was hashed; where the chain before it is whole is for `verify` to say."""
    written = canonical_json(row.data).decode()
    return link(row.seq, row.at.isoformat(), row.actor, row.event, row.subject, written, row.previous) == row.hash


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the chain is broken, and how."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a walk along the chain found; `seq` and `hash` are its end, to be kept elsewhere."""

    events: int
    seq: int
    hash: str
    faults: tuple[Fault, ...]

    @property
    def whole(self) -> bool:
        return not self.faults


def verify(session: Session, kept: Mapping[int, str] | None = None) -> Finding:
    """Walk the whole chain and name every fault (up to a hundred).

    kept: hashes by number that were exported before: the same events must still be there.
    """
    faults: list[Fault] = []
    previous, expected, events, outside = GENESIS, 1, 0, dict(kept or {})
    for seq, at, actor, event, subject, data, before, found in _walk(session):
        events += 1
        genuine = link(seq, at, actor, event, subject, data, before) == found
        if seq != expected or before != previous or not genuine or outside:
            if seq != expected:
                faults.append(Fault(expected, _missing(expected, seq - 1)))
            elif before != previous:
                faults.append(Fault(seq, f"event {seq} does not follow from event {seq - 1}: one of them was changed"))
            if not genuine:
                faults.append(Fault(seq, f"event {seq} was changed after it was written"))
            if outside.pop(seq, found) != found:
                faults.append(Fault(seq, f"event {seq} is not the one that was exported"))
        previous, expected = found, seq + 1
    end = expected - 1
    head = session.get(AuditHead, 1, populate_existing=True)
    if head is None:
        faults.append(Fault(expected, "the end of the chain is not recorded any more"))
    elif head.seq > end:
        faults.append(Fault(expected, f"{_missing(expected, head.seq)}: the chain ends at event {end}"))
    elif head.seq < end:
        faults.append(Fault(head.seq + 1, f"event {head.seq + 1} was added past the end, or the end was set back"))
    elif head.hash != previous:
        faults.append(Fault(max(end, 1), f"the recorded end of the chain is not event {end}: one of them was changed"))
    if beyond := [seq for seq in outside if seq > end]:
        faults.append(Fault(min(beyond), f"event {min(beyond)} was exported and is gone: the chain ends at {end}"))
    return Finding(events, end, previous, tuple(sorted(faults, key=lambda fault: fault.seq)[:MOST_FAULTS]))


def _missing(first: int, last: int) -> str:
    return f"event {first} is missing" if first >= last else f"events {first} to {last} are missing"


def _walk(session: Session) -> Iterator[Any]:
    """Every event in order, each column as the text that was hashed; the database writes the times in ISO form."""
    if session.get_bind().dialect.name == "postgresql":
        iso = "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
    else:
        iso = "replace(at, ' ', 'T')"
    query = text(
        f"SELECT seq, replace({iso}, '.000000', '') || '+00:00', actor, event, subject, data, previous, hash "  # noqa: S608
        "FROM audit ORDER BY seq"
    )
    with session.execute(query, execution_options={"yield_per": BATCH}) as rows:
        for part in rows.partitions():
            yield from part


def export(session: Session) -> Iterator[str]:
    """Every event as one line of JSON, with its hash."""
    for seq, at, actor, event, subject, data, previous, found in _walk(session):
        yield (
            f'{{"seq":{seq},"at":{quoted(at)},"actor":{quoted(actor)},"event":{quoted(event)},'
            f'"subject":{quoted(subject)},"data":{data},"previous":"{previous}","hash":"{found}"}}'
        )


def kept_hashes(lines: Iterator[str]) -> tuple[dict[int, str], Fault | None]:
    """The hashes of an export by number, and where the export itself is not whole."""
    kept: dict[int, str] = {}
    previous = GENESIS
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            written = canonical_json(row["data"]).decode()
            found = link(row["seq"], row["at"], row["actor"], row["event"], row["subject"], written, row["previous"])
        except (ValueError, KeyError, TypeError):
            return kept, Fault(number, f"line {number} of the export is no event")
        if (row["seq"], row["previous"], row["hash"]) != (number, previous, found):
            return kept, Fault(number, f"line {number} of the export was changed after it was written")
        previous = kept[number] = found
    return kept, None
