"""When a message may wait: quiet hours and digests, in a person's own time zone."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = 24 * 60
DAILY_AT = 8 * 60
"""A digest of a day or more comes at eight in the morning."""


def quiet_until(now: datetime, start: int | None, end: int | None, zone: str) -> datetime | None:
    """The end of the quiet hours that `now` lies in; None outside of them. Times of day in minutes after midnight.

    >>> quiet_until(datetime(2026, 3, 1, 23, 30, tzinfo=UTC), 22 * 60, 7 * 60, "Europe/Berlin").isoformat()
    '2026-03-02T06:00:00+00:00'
    >>> quiet_until(datetime(2026, 3, 1, 12, 0, tzinfo=UTC), 22 * 60, 7 * 60, "Europe/Berlin") is None
    True
    """
    if start is None or end is None or start == end:
        return None
    local = now.astimezone(ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    inside = start <= minute < end if start < end else minute >= start or minute < end
    if not inside:
        return None
    return _next(local, end)


def next_digest(now: datetime, every: timedelta, zone: str) -> datetime:
    """When the next digest goes out: at even parts of the day, or at eight in the morning for days.

    >>> next_digest(datetime(2026, 3, 1, 10, 40, tzinfo=UTC), timedelta(hours=1), "UTC").isoformat()
    '2026-03-01T11:00:00+00:00'
    >>> next_digest(datetime(2026, 3, 1, 10, 40, tzinfo=UTC), timedelta(days=1), "Asia/Tokyo").isoformat()
    '2026-03-01T23:00:00+00:00'
    """
    local = now.astimezone(ZoneInfo(zone))
    if every >= timedelta(days=1):
        return _next(local, DAILY_AT)
    midnight = datetime.combine(local.date(), time(), local.tzinfo).astimezone(UTC)
    return midnight + ((now - midnight) // every + 1) * every


def _next(local: datetime, minute: int) -> datetime:
    """The next time, strictly after `local`, that the clock there shows `minute`."""
    at = datetime.combine(local.date(), time(minute // 60, minute % 60), local.tzinfo)
    if at.astimezone(UTC) <= local.astimezone(UTC):
        at = datetime.combine(local.date() + timedelta(days=1), at.time(), local.tzinfo)
    return at.astimezone(UTC)
