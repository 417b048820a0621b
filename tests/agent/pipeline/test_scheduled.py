"""Reports on a plan: the right time in a time zone, each slot once, and a plan that says what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from agent.domain.errors import InvalidInput
from agent.domain.reporting import load_plan, parse_plan
from agent.pipeline.scheduled import due_now, latest, span_of
from agent.scheduler import reports_due
from agent.store.tables import Outbox, Report, Slot

PLAN = """
time_zone: Europe/Berlin
reports:
  leadership:
    kind: weekly
    cron: "0 8 * * sun"
    to: ["#ml-leads", ana]
    formats: [pdf, html]
"""


def test_a_time_is_that_of_the_zone_on_both_sides_of_a_change_of_clocks():
    assert latest("0 8 * * *", "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC)).hour == 7
    assert latest("0 8 * * *", "Europe/Berlin", datetime(2026, 3, 29, 12, tzinfo=UTC)).hour == 6
    assert latest("0 8 1 * *", "UTC", datetime(2026, 3, 20, tzinfo=UTC)) is None


def test_a_monthly_report_is_of_the_last_whole_month_of_its_zone():
    start, end = span_of("monthly", datetime(2026, 4, 1, 6, tzinfo=UTC), "Europe/Berlin")
    assert start == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert end == datetime(2026, 3, 31, 22, tzinfo=UTC)


def test_each_slot_is_written_and_promised_once_whoever_asks(bench):
    (bench.services.home / "reports.yaml").write_text(PLAN, encoding="utf-8")
    assert [due.name for due in due_now(bench.services)] == ["leadership"]
    assert reports_due(bench.services, "one") == 1
    assert reports_due(bench.services, "two") == 0
    with bench.services.store.write() as session:
        session.delete(session.scalars(select(Slot).where(Slot.job == "report:leadership")).one())
    assert reports_due(bench.services, "three") == 0  # its worker died after it was written: the row itself says so
    with bench.services.store.read() as session:
        row = session.scalars(select(Report)).one()
        assert (row.kind, row.audience, row.schedule) == ("weekly", "#ml-leads, ana", "leadership")
        assert row.period_end == row.due_at == datetime(2026, 3, 1, 7, tzinfo=UTC)
        assert row.facts["summary_by"] == "template"
        sent = session.scalars(select(Outbox).order_by(Outbox.id)).all()
        assert [one.recipient for one in sent] == ["#ml-leads", "ana"]
        assert sent[0].kind == "report"
        assert sent[0].files == [{"report": row.id, "format": "pdf"}, {"report": row.id, "format": "html"}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("reports:\n  a: {kind: weekly, cron: soon, to: [x]}", "has not five fields"),
        ("reports:\n  a: {kind: hourly, cron: '0 8 * * *', to: [x]}", "kind"),
        ("reports:\n  a: {kind: weekly, cron: '0 8 * * *'}", "to"),
        ("time_zone: Mars/Base", "is no time zone"),
        ("report: {}", "unknown key"),
    ],
)
def test_a_plan_says_what_is_wrong_with_it(text, problem):
    with pytest.raises(InvalidInput, match=problem):
        parse_plan(text)


def test_a_cron_that_cannot_be_is_named(bench):
    (bench.services.home / "reports.yaml").write_text(PLAN.replace("0 8 * * sun", "0 99 * * sun"), encoding="utf-8")
    with pytest.raises(InvalidInput, match="'0 99 \\* \\* sun' is not understood"):
        list(due_now(bench.services))


def test_no_plan_is_nothing_planned(tmp_path):
    assert load_plan(tmp_path / "reports.yaml").reports == {}
