"""reports.yaml: which reports are written when, in which time zone, and who gets them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from agent.domain.errors import InvalidInput
from agent.domain.written import parse_written

FILE = "reports.yaml"
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
PAGE = "docs/how-to/reports.md"


def _is_a_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write one such as Europe/Berlin or UTC") from None
    return name


Zone = Annotated[str, AfterValidator(_is_a_zone)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Planned(_Part):
    """One report for one audience."""

    kind: Literal["daily", "weekly", "monthly", "comparison", "card"] = Field(description="what is written")
    cron: str = Field(description="when: minute, hour, day, month, day of the week, such as `0 8 * * mon`")
    to: tuple[str, ...] = Field(min_length=1, description="people, channels or addresses that get it")
    models: tuple[str, ...] = Field(("*",), description="patterns of model names; a card is written for each")
    formats: tuple[Literal["pdf", "html", "md", "json"], ...] = Field(("pdf",), description="files that go with it")
    time_zone: Zone | None = Field(None, description="default: that of the file")

    @model_validator(mode="after")
    def _five_fields(self) -> Planned:
        fields = self.cron.split()
        if len(fields) != 5:
            raise ValueError(
                f"cron: {self.cron!r} has not five fields; write minute, hour, day, month and day of the week"
            )
        if fields[2] != "*" and fields[4] != "*":
            raise ValueError(
                f"cron: {self.cron!r} names a day of the month and one of the week, which not every program reads "
                "alike; name one of them, or plan two reports"
            )
        return self


def weekdays(field: str) -> str:
    """The last field of a cron line with its numbers as names, since programs count them from different days.

    >>> weekdays("1-5"), weekdays("0"), weekdays("7,3"), weekdays("mon-fri"), weekdays("*")
    ('mon,tue,wed,thu,fri', 'sun', 'sun,wed', 'mon-fri', '*')
    """
    out: list[str] = []
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0-6" if span == "*" and step else span).partition("-")
        if not (first.isdigit() and (last or first).isdigit() and (step or "1").isdigit()):
            out.append(part)
            continue
        days = range(int(first), int(last or first) + 1, max(int(step or 1), 1))
        if not days or days[-1] > 7:
            raise ValueError(f"{part!r} is no day of the week; they are 0 (Sunday) to 6, or mon to sun")
        out += [DAYS[day % 7] for day in days]
    return ",".join(out)


class Plan(_Part):
    """The whole of `reports.yaml`."""

    time_zone: Zone = Field("UTC", description="of every `cron` that names none")
    reports: dict[str, Planned] = Field(default_factory=dict, description="each under its own name")

    def zone(self, name: str) -> str:
        return self.reports[name].time_zone or self.time_zone


def parse_plan(text: str, source: str = FILE) -> Plan:
    """Raises: InvalidInput naming file, line and key."""
    return parse_written(text, Plan, source, PAGE)


def load_plan(path: Path) -> Plan:
    """Read `reports.yaml`; a missing file plans nothing. Raises: InvalidInput."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return Plan()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read ({error}).") from None
    return parse_plan(text, str(path))
