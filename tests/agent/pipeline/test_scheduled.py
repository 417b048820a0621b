"""Reports on a plan: the right time in a time zone, each slot once, and a plan that says what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from agent.domain.errors import InvalidInput
from agent.domain.policy import Policy
from agent.domain.reporting import load_plan, parse_plan
from agent.pipeline.scheduled import due_now, latest, span_of
from agent.pipeline.services import Services
from agent.scheduler import reports_due
from agent.store.session import Store
from agent.store.tables import Model, Outbox, Report, Slot
from ml.data.prediction_log import PredictionLog
from ml.models.registry import Registry
from notifications.journal import Journal
from tests.furnish import furnish

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = "name: bike-demand\ntask: regression\nmetric: mae\nfeatures:\n  temp: {type: numeric}\n"

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


def test_days_of_the_week_are_those_of_cron():
    friday = datetime(2026, 3, 6, 12, tzinfo=UTC)
    for written, day in (
        ("1", "Mon"),
        ("mon", "Mon"),
        ("0", None),
        ("7", None),
        ("5", "Fri"),
        ("1-5", "Fri"),
        ("2-4", "Thu"),
    ):
        found = latest(f"0 8 * * {written}", "UTC", friday)
        if day == "Mon":  # four days ago: too old to be written still
            assert found is None, written
            found = latest(f"0 8 * * {written}", "UTC", friday - timedelta(days=3))
        assert (None if found is None else f"{found:%a}") == day, written


def test_a_monthly_report_is_of_the_last_whole_month_of_its_zone():
    start, end = span_of("monthly", datetime(2026, 4, 1, 6, tzinfo=UTC), "Europe/Berlin")
    assert start == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert end == datetime(2026, 3, 31, 22, tzinfo=UTC)


@pytest.fixture
def services(database_url, tmp_path) -> Iterator[Services]:
    store = Store(database_url)
    furnish(store)
    with store.write() as session:
        session.add(Model(name="bike-demand", spec=SPEC, registered_at=NOW))
    yield Services(
        home=tmp_path,
        store=store,
        log=PredictionLog(str(tmp_path / "log")),
        registry=Registry(f"sqlite:///{tmp_path / 'mlflow.db'}"),
        policy=Policy,
        channel=Journal(tmp_path / "notifications.jsonl"),
        wall=lambda: NOW,
    )
    store.close()


def test_each_slot_is_written_and_promised_once_whoever_asks(services):
    (services.home / "reports.yaml").write_text(PLAN, encoding="utf-8")
    assert [due.name for due in due_now(services)] == ["leadership"]
    assert reports_due(services, "one") == 1
    assert reports_due(services, "two") == 0
    with services.store.write() as session:
        session.delete(session.scalars(select(Slot).where(Slot.job == "report:leadership")).one())
    assert reports_due(services, "three") == 0  # its worker died after it was written: the row itself says so
    with services.store.read() as session:
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
        ("reports:\n  a: {kind: weekly, cron: '0 8 1 * mon', to: [x]}", "a day of the month and one of the week"),
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


@pytest.mark.parametrize("cron", ["0 99 * * sun", "0 8 * * 9", "0 8 * * someday"])
def test_a_cron_that_cannot_be_is_named(cron):
    with pytest.raises(InvalidInput, match=re.escape(f"{cron!r} is not understood")):
        latest(cron, "UTC", datetime(2026, 3, 6, tzinfo=UTC))


def test_no_plan_is_nothing_planned(tmp_path):
    assert load_plan(tmp_path / "reports.yaml").reports == {}
