"""Times in which nothing is executed: dated spans, and spans that come back every week, in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def known_zone(name: str) -> str:
    """Raises: ValueError for a name that no time-zone database has."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write one like Europe/Berlin or UTC") from None
    return name


def _clock_time(value: Any) -> Any:
    """`16:00` as YAML reads it without quotes: a number to the base of sixty."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return time(value // 60, value % 60)
    return value


def _plain_time(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("a time of day has no zone of its own; say it once, in time_zone")
    return value


Zone = Annotated[str, AfterValidator(known_zone)]
ClockTime = Annotated[time, BeforeValidator(_clock_time), AfterValidator(_plain_time)]


class Weekday(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class Freeze(BaseModel):
    """A span of time in which nothing is executed. A time without a zone is in the policy's `time_zone`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    start: datetime
    end: datetime
    reason: str = Field(min_length=1, description="what those who wait are told")

    @model_validator(mode="after")
    def _ends_later(self) -> Freeze:
        if (self.start.tzinfo is None) != (self.end.tzinfo is None):
            raise ValueError("start and end: both with a zone, or both without")
        if self.end <= self.start:
            raise ValueError("end: must be later than start")
        return self

    def until(self, now: datetime, zone: str) -> datetime | None:
        """When it ends, where `now` is in it."""
        start, end = (_aware(moment, zone) for moment in (self.start, self.end))
        return end if start <= now < end else None


class WeeklyFreeze(BaseModel):
    """A span of time that comes back every week: on these days from `start` to `end`, or to `end` on the next day."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    days: tuple[Weekday, ...] = Field(min_length=1, description="the days on which it starts")
    start: ClockTime
    end: ClockTime = Field(description="where it is not after `start`: on the next day")
    reason: str = Field(min_length=1, description="what those who wait are told")

    def until(self, now: datetime, zone: str) -> datetime | None:
        """When it ends, where `now` is in it. What the clock shows counts: an hour that is there twice is in twice."""
        here = ZoneInfo(zone)
        today = now.astimezone(here).date()
        for back in (1, 0):
            day = today - timedelta(days=back)
            if tuple(Weekday)[day.weekday()] not in self.days:
                continue
            last = day + timedelta(days=1) if self.end <= self.start else day
            start = datetime.combine(day, self.start, here).astimezone(UTC)
            end = datetime.combine(last, self.end, here).replace(fold=1).astimezone(UTC)
            if start <= now < end:
                return end
        return None


def _aware(moment: datetime, zone: str) -> datetime:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
