"""Reports that are due: which they are, and writing one. Whoever is first writes it, once, and promises it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select

from agent.domain.errors import InvalidInput
from agent.domain.reporting import FILE, Plan, Planned, load_plan, weekdays
from agent.pipeline.reporting import Wanted, gather, names_seen, report_row, told
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.changes import promise
from agent.store.tables import Report
from ml.errors import WatchkeeperError

log = logging.getLogger(__name__)
STILL_WANTED = timedelta(days=2)
"""A report that was due longer ago, while nothing ran, is not written any more."""
TITLES = {
    "daily": "Daily watch report", "weekly": "Weekly watch report", "monthly": "Monthly report",
    "comparison": "Comparison with the time before", "card": "Model card",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Due:
    """One report at one due time; `zone` says what a month is."""

    name: str
    planned: Planned
    zone: str
    at: datetime

    @property
    def job(self) -> str:
        return f"report:{self.name}"


def plan_of(services: Services) -> Plan:
    """Raises: InvalidInput."""
    return load_plan(services.home / FILE)


def due_now(services: Services) -> Iterator[Due]:
    """The latest due time of each planned report, of those that are not too old. Raises: InvalidInput."""
    plan, now = plan_of(services), services.now()
    for name, planned in plan.reports.items():
        at = latest(planned.cron, plan.zone(name), now)
        if at is not None:
            yield Due(name, planned, plan.zone(name), at)


def latest(cron: str, zone: str, now: datetime) -> datetime | None:
    """The last time not after `now` that `cron` means in a time zone; None where that is too long ago.

    A time that a change of the clocks skips is that much later; one that it repeats counts once. Raises: InvalidInput.
    """
    from apscheduler.triggers.cron import CronTrigger

    try:
        *rest, week = cron.split()
        trigger = CronTrigger.from_crontab(" ".join([*rest, weekdays(week)]), timezone=ZoneInfo(zone))
    except ValueError as error:
        raise InvalidInput(f"{FILE}: cron {cron!r} is not understood ({error}); write such as `0 8 * * mon`.") from None
    found, start = None, now - STILL_WANTED
    while (at := trigger.get_next_fire_time(None, start)) is not None and at <= now:
        found, start = at, at + timedelta(minutes=1)
    return None if found is None else found.astimezone(UTC)


def span_of(kind: str, due: datetime, zone: str) -> tuple[datetime, datetime]:
    """A day or a week until it is due; for a month and a comparison, the last whole month of the time zone."""
    if kind in ("daily", "weekly"):
        return due - timedelta(days=1 if kind == "daily" else 7), due
    local = due.astimezone(ZoneInfo(zone))
    end = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = (end - timedelta(days=1)).replace(day=1)
    return start.astimezone(UTC), end.astimezone(UTC)


def write_due(services: Services, due: Due) -> int:
    """Write and promise the report of a due time; how many were written now. Raises: WatchkeeperError."""
    with services.store.read() as session:
        names = names_seen(queries.model_names(session), due.planned.models)
    start, end = span_of(due.planned.kind, due.at, due.zone)
    if due.planned.kind == "card":
        return sum(_card(services, due, name) for name in names)
    only = None if due.planned.models == ("*",) else names
    return _write(services, due, Wanted(due.planned.kind, start=start, end=end, only=only), due.name)


def _card(services: Services, due: Due, model: str) -> int:
    """One model without a version must not keep the others' cards back."""
    try:
        return _write(services, due, Wanted("card", model=model, end=due.at), f"{due.name}/{model}")
    except WatchkeeperError as problem:
        log.warning("card of %s: %s", model, problem)
        return 0


def _write(services: Services, due: Due, wanted: Wanted, schedule: str) -> int:
    written = select(Report.id).where(Report.schedule == schedule, Report.due_at == due.at)
    with services.store.read() as session:
        if session.scalar(written) is not None:
            return 0
    facts = told(services, gather(services, wanted))
    kind, zone = due.planned.kind, due.zone
    with services.store.write() as session:
        if session.scalar(written) is not None:
            return 0
        to = ", ".join(due.planned.to)
        row = report_row(facts, at=services.now(session), audience=to, schedule=schedule, due_at=due.at)
        session.add(row)
        session.flush()
        day = due.at.astimezone(ZoneInfo(zone))
        for number, recipient in enumerate(due.planned.to):
            promise(
                session,
                key=f"report:{row.id}" + (f":{number}" if number else ""),
                recipient=recipient,
                title=f"{TITLES[kind]} of {day:%Y-%m-%d}" + (f": {wanted.model}" if wanted.model else ""),
                body=str(facts["summary"]),
                subject=row.id,
                at=services.now(session),
                kind="report",
                model=wanted.model or "",
                files=tuple({"report": row.id, "format": format} for format in due.planned.formats),
            )
    return 1
