"""Times in which nothing is executed: to the second, across midnights, weeks and changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.domain.policy import parse_policy

WEEKEND = """
time_zone: Europe/Berlin
weekly_freezes:
  - {days: [fri], start: 16:00, end: 08:00, reason: evening}
  - {days: [sat, sun], start: 00:00, end: 00:00, reason: weekend}
"""


def until(text, moment):
    found = parse_policy(text).freeze_at(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    return found and (found[0], f"{found[1]:%m-%d %H:%M}")


@pytest.mark.parametrize(
    ("moment", "found"),
    [
        ("2026-11-20 14:59:59", None),
        ("2026-11-20 15:00:00", ("evening", "11-21 07:00")),
        ("2026-11-20 22:59:59", ("evening", "11-21 07:00")),
        ("2026-11-20 23:00:00", ("weekend", "11-21 23:00")),
        ("2026-11-22 22:59:59", ("weekend", "11-22 23:00")),
        ("2026-11-22 23:00:00", None),
        ("2026-07-17 13:59:59", None),
        ("2026-07-17 14:00:00", ("evening", "07-18 06:00")),
    ],
)
def test_a_weekly_freeze_follows_the_clock_on_the_wall(moment, found):
    """Berlin is an hour ahead of UTC in winter, two in summer."""
    assert until(WEEKEND, moment) == found


@pytest.mark.parametrize(
    ("moment", "frozen"),
    [("2026-10-25 00:29", False), ("2026-10-25 00:30", True), ("2026-10-25 01:44", True), ("2026-10-25 01:45", False)],
)
def test_an_hour_that_the_clock_shows_twice_is_frozen_twice(moment, frozen):
    """On 2026-10-25 Berlin's clocks go from 03:00 back to 02:00: 02:30 is at 00:30 and at 01:30 UTC."""
    text = "time_zone: Europe/Berlin\nweekly_freezes: [{days: [sun], start: '02:30', end: '02:45', reason: x}]"
    assert (until(text, moment) is not None) == frozen


DATED = "time_zone: America/New_York\nfreezes: [{start: %s, end: %s, reason: move}]"


@pytest.mark.parametrize(
    ("span", "first", "after"),
    [
        (("2026-12-23", "2026-12-24"), "2026-12-23 05:00", "2026-12-24 05:00"),
        (("2026-12-23T10:00:00", "2026-12-23T11:00:00"), "2026-12-23 15:00", "2026-12-23 16:00"),
        (("2026-12-23T10:00:00Z", "2026-12-23T11:00:00Z"), "2026-12-23 10:00", "2026-12-23 11:00"),
        (("2026-12-23T10:00:00+03:00", "2026-12-23T11:00:00+03:00"), "2026-12-23 07:00", "2026-12-23 08:00"),
    ],
)
def test_a_dated_freeze_without_a_zone_is_in_that_of_the_policy(span, first, after):
    assert until(DATED % span, f"{first}:00") == ("move", after[5:])
    assert until(DATED % span, f"{first[:-5]}{int(first[-5:-3]) - 1:02}:59:59") is None
    assert until(DATED % span, f"{after}:00") is None


def test_of_two_that_overlap_the_one_that_ends_last_is_told():
    text = "freezes:\n" + "".join(
        f"  - {{start: 2026-01-01, end: 2026-01-0{day}, reason: '{day}'}}\n" for day in (3, 5, 4)
    )
    assert until(text, "2026-01-02") == ("5", "01-05 00:00")
