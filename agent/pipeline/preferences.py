"""What one person wants to be told, where and when; read and changed by themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.alerting import SEVERITIES
from agent.domain.errors import InvalidInput
from agent.domain.freezes import known_zone
from agent.domain.notifying import APPRISE, MAIL, PUSH, SLACK, is_mail_address, is_slack_place
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import Preference, Unsubscribed
from ml.spec import format_duration, parse_duration

PERSONAL = (SLACK, MAIL, PUSH, APPRISE)
_QUIET = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)$")


@dataclass(frozen=True, slots=True)
class Wishes:
    """As a person writes them. channels: `{mail: ann@example.com}`; quiet: `22:00-07:00`, or "" for none; digest: `1h`,
    `1d`, or `0` for each at once."""

    channels: Mapping[str, str] = field(default_factory=dict)
    severity: str = "warning"
    models: tuple[str, ...] = ("*",)
    kinds: tuple[str, ...] = ("*",)
    quiet: str = ""
    time_zone: str = "UTC"
    digest: str = "0"


def wishes_of(session: Session, person: str) -> Wishes | None:
    """What somebody has said; None for who has said nothing, and is told nothing by name."""
    row = session.get(Preference, person)
    if row is None:
        return None
    quiet = "" if row.quiet_from is None or row.quiet_to is None else f"{_clock(row.quiet_from)}-{_clock(row.quiet_to)}"
    return Wishes(
        channels={str(key): str(value) for key, value in row.channels.items()},
        severity=row.severity,
        models=tuple(map(str, row.models)),
        kinds=tuple(map(str, row.kinds)),
        quiet=quiet,
        time_zone=row.time_zone,
        digest=format_duration(timedelta(seconds=row.digest)) if row.digest else "0",
    )


def everybody(session: Session) -> dict[str, Wishes]:
    """Everybody's wishes by name."""
    names = session.scalars(select(Preference.person).order_by(Preference.person)).all()
    return {name: wishes for name in names if (wishes := wishes_of(session, name)) is not None}


def set_wishes(services: Services, session: Session, person: str, wishes: Wishes) -> None:
    """Keep what somebody wants; an address that they write again is no longer unsubscribed. Raises: InvalidInput."""
    values = _checked(wishes)
    row = session.get(Preference, person, with_for_update=True)
    if row is None:
        row = Preference(person=person)
        session.add(row)
    before: Mapping[str, Any] = row.channels or {}
    for name, value in values.items():
        setattr(row, name, value)
    row.updated_at = services.wall()
    for channel, address in wishes.channels.items():
        if before.get(channel) != address and (silent := session.get(Unsubscribed, (channel, address))) is not None:
            session.delete(silent)
    session.flush()
    said = {"channels": values["channels"], "severity": values["severity"], "models": values["models"]}
    audit.append(session, at=services.now(session), actor=person, event="wishes changed", subject=person, data=said)


def _checked(wishes: Wishes) -> dict[str, Any]:
    for channel, address in wishes.channels.items():
        if channel not in PERSONAL:
            raise InvalidInput(f"channels: {channel!r} is none of {', '.join(PERSONAL)}.")
        if channel == MAIL and not is_mail_address(address):
            raise InvalidInput(f"mail: {address!r} is no mail address; write one like ann@example.com.")
        if channel == SLACK and not is_slack_place(address):
            raise InvalidInput(f"slack: {address!r} is no member or channel of Slack; write an id like U0123ABCD.")
    if wishes.severity not in SEVERITIES:
        raise InvalidInput(f"severity: {wishes.severity!r} is none of {', '.join(SEVERITIES)}.")
    try:
        zone = known_zone(wishes.time_zone)
        digest = parse_duration(wishes.digest) if wishes.digest not in ("", "0") else timedelta(0)
    except ValueError as error:
        raise InvalidInput(f"{error}.") from None
    if not timedelta(0) <= digest <= timedelta(days=7) or (digest and digest < timedelta(minutes=5)):
        raise InvalidInput("digest: between 5m and 7d, or 0 for each message at once.")
    start, end = _quiet(wishes.quiet)
    return {
        "channels": dict(wishes.channels),
        "severity": wishes.severity,
        "models": list(wishes.models) or ["*"],
        "kinds": list(wishes.kinds) or ["*"],
        "quiet_from": start,
        "quiet_to": end,
        "time_zone": zone,
        "digest": round(digest.total_seconds()),
    }


def _quiet(text: str) -> tuple[int | None, int | None]:
    if not text.strip():
        return None, None
    found = _QUIET.match(text.strip())
    if found is None:
        raise InvalidInput(f"quiet: {text!r} is no span of the day; write it like 22:00-07:00.")
    hours = [int(part) for part in found.groups()]
    return hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
