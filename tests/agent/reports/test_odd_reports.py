"""What is empty, one, very many or in another script: still a good page, and the same bytes each time."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.reports import canvas, fonts, pictures
from agent.reports.canvas import png_of
from agent.reports.card import card_facts
from agent.reports.comparison import comparison_facts
from agent.reports.facts import incident_facts, period_facts
from agent.reports.language import say, speaking
from agent.reports.pictured import HeatMap
from agent.reports.render import render, render_file
from agent.store.session import Store
from agent.store.tables import MeasurementRow, Model, MonitorRun
from ml.models.registry import VersionInfo
from tests.agent.reports.story import Story, day, spec
from tests.agent.reports.test_numbers_agree import printed
from tests.furnish import furnish


@pytest.fixture
def session(tmp_path) -> Iterator[Session]:
    store = Store(f"sqlite:///{tmp_path / 'watchkeeper.db'}")
    furnish(store)
    with store.write() as session:
        yield session
    store.close()


def test_a_house_without_models_and_an_empty_period(session):
    facts = period_facts(session, start=day(0), end=day(7), cadence="weekly").to_json()
    assert "There is no model yet" in render(facts, "html")
    assert "There is no model yet" in printed(render_file(facts, "pdf"))
    Story(session).watched(values={})
    facts = period_facts(session, start=day(300), end=day(307)).to_json()
    assert "not known to be well" in facts["summary"]
    assert "no look was taken" in render(facts, "md")
    assert pictures.metric_over_time(session, "bike-demand", day(300), day(307)) is None
    assert pictures.drift_heat_map(session, "bike-demand", day(300), day(307)) is None


def test_a_model_without_labels_says_so_and_draws_nothing(session):
    Story(session).watched(values=dict.fromkeys(range(20, 40)))
    facts = period_facts(session, start=day(18), end=day(45)).to_json()
    assert facts["models"][0]["looks_without_data"] == 20
    assert "no look had enough labelled rows" in render(facts, "html")


def test_a_model_whose_labels_are_of_one_class_says_what_its_last_look_said(session):
    Story(session, metric="roc_auc").watched(values=dict.fromkeys(range(20, 40)), task="binary")
    why = "all 168 labels are 'no'; roc_auc compares two classes."
    for row in session.scalars(select(MeasurementRow)):
        row.detail = why
    session.flush()
    facts = period_facts(session, start=day(18), end=day(45))
    assert (facts.models[0].state, facts.models[0].latest) == ("no data", None)
    assert "The last one says: all 168 labels are" in printed(render_file(facts.to_json(), "pdf"))
    assert "not known to be well" in facts.summary
    assert comparison_facts(session, start=day(30), end=day(40)).models[0].change is None


def test_one_point_is_a_picture(session):
    Story(session).watched(values={30: 12.5})
    picture = pictures.metric_over_time(session, "bike-demand", day(20), day(40))
    assert picture is not None
    assert picture.png.startswith(b"\x89PNG")
    assert "12.5" in picture.alt


def test_the_same_facts_give_the_same_bytes_in_every_format(session):
    one = Story(session).whole()
    facts = incident_facts(session, one.incident, at=day(45))
    for format in ("html", "pdf"):
        first = render_file(facts.to_json(), format)
        canvas.forget()
        assert render_file(facts.to_json(), format) == first
    assert facts.chart is not None
    assert png_of(facts.chart) == png_of(facts.chart)


def test_an_incident_that_is_still_open_has_a_page(session):
    one = Story(session).watched().opened()
    facts = incident_facts(session, one.incident, at=day(45)).to_json()
    text = printed(render_file(facts, "pdf"))
    assert "has not been diagnosed" in text
    assert "still open" in text


def test_five_hundred_features_are_one_small_picture_of_the_loudest(session):
    Story(session).watched(values={})
    for number in range(20, 60):
        run = MonitorRun(
            model="bike-demand", window_start=day(number - 7), window_end=day(number), rows=9, champion="1", seconds=0.1
        )
        session.add(run)
        session.flush()
        for i in range(500 if number % 10 == 0 else 3):
            session.add(
                MeasurementRow(
                    run_id=run.id, model="bike-demand", monitor="drift.psi", feature=f"feature_{i:03}", n=100,
                    window_start=day(number - 7), window_end=day(number), value=i / 50, low=None, high=None, unit="",
                    threshold=9.0, status="breach" if i > 450 else "ok", detail="", facts={},
                )
            )  # fmt: skip
    facts = period_facts(session, start=day(19), end=day(60))
    drift = facts.models[0].drift
    assert drift is not None
    assert drift.rows[0] == "feature_499"
    assert (len(drift.rows), len(drift.ends) <= 14) == (16, True)
    assert drift.left_out >= 400
    assert "feature\\_499" in render(facts.to_json(), "md")


def test_names_in_other_scripts_are_shown_or_spelled_and_never_boxes(session):
    names = ("温度", "강도", "حرارة", "טמפרטורה")
    one = Story(session, title="حرارة 24.1", features=names)
    one.watched().opened()
    one.diagnosed()
    facts = incident_facts(session, one.incident, at=day(45)).to_json()
    assert all(name in render(facts, "html") for name in names)
    text = re.sub(r"\s+", " ", printed(render_file(facts, "pdf")))
    missing = fonts.unshown(fonts.foreign(names))
    assert ("No font on this machine has these characters" in text) == bool(missing)
    assert ("[U+6E29 U+5EA6]" in text) == ("温" in missing)
    assert "\ufffd" not in text
    rows = HeatMap(kind="drift", measure="psi", rows=list(names), ends=[day(1)], values=[[0.1]] * 4,
                   breached=[[False]] * 4, alt="x")  # fmt: skip
    assert png_of(rows).startswith(b"\x89PNG")  # a missing glyph would warn, and a warning is an error here


def test_a_card_and_a_comparison_in_every_format(session):
    Story(session).whole()
    version = VersionInfo(
        "bike-demand", "2", day(39), "run", metrics={"mae": 34.812, "mae.low": 33.1, "mae.high": 36.2}
    )
    for facts in (
        card_facts(session, "bike-demand", version, at=day(50)).to_json(),
        comparison_facts(session, start=day(35), end=day(49)).to_json(),
    ):
        pages = [render_file(facts, format) for format in ("html", "pdf", "md", "json")]
        assert all(pages)
    card = card_facts(session, "bike-demand", version, at=day(50))
    assert card.state == "champion"
    assert "its mae was 34.8 (33.1 to 36.2)" in card.summary
    assert (card.judged, card.helped) == (1, 1)


def test_what_an_error_costs_becomes_what_doing_nothing_would_have_cost(session):
    one = Story(session)
    one.watched()
    model = session.get_one(Model, one.name)
    model.spec = spec(one.name) + "error_cost: {amount: 2.5, currency: EUR}\n"
    one.opened()
    row = one.proposed(diagnosis=one.diagnosed())
    one.judged(row, one.executed(row, one.approved(row)))
    facts = incident_facts(session, one.incident, at=day(45))
    assert facts.effect is not None
    worth = facts.effect.worth
    assert worth is not None
    assert (worth.amount, worth.low, worth.high) == (17908.0, 15855.0, 20002.0)  # 34.11 x 210 rows x 2.5
    assert "EUR 17908 (15855 to 20002)" in render(facts.to_json(), "html")
    assert period_facts(session, start=day(30), end=day(44)).worth[0].amount == 17908.0


def test_what_is_at_risk_next_is_named_with_its_reason(session):
    waits = Story(session, name="waits").watched().opened()
    waits.proposed(diagnosis=waits.diagnosed())
    Story(session, name="stuck").watched().opened()
    Story(session, name="near").watched(values={40: 17.5})
    Story(session, name="beyond").watched(values={40: 25.0})
    Story(session, name="blind").watched(values={40: None})
    facts = period_facts(session, start=day(34), end=day(38))
    said = {(r.model, r.rule): r.text for r in period_facts(session, start=day(34), end=day(41)).risks}
    assert {key for key in said if key[0] != "waits"} == {
        ("stuck", "stuck"), ("near", "near"), ("beyond", "beyond"), ("blind", "blind"),
    }  # fmt: skip
    assert "and nothing waits for a decision" in said["stuck", "stuck"]
    assert "its interval reaches 18.6, beyond the threshold 18" in said["near", "near"]
    assert [r.rule for r in facts.risks if r.model == "waits"] == ["lapsing"]
    assert "At risk next" in render(facts.to_json(), "md")


def test_every_heading_can_be_said_in_another_language(session):
    import gettext

    class Loud(gettext.NullTranslations):
        def gettext(self, message: str) -> str:
            return message.replace("Timeline", "ZEITLEISTE").replace("What happened", "WAS GESCHAH")

    one = Story(session).whole()
    facts = incident_facts(session, one.incident, at=day(45))
    from agent.reports.compose_incident import compose
    from agent.reports.markdown import markdown

    with speaking(Loud()):
        page = markdown(compose(facts))
    assert "## ZEITLEISTE" in page
    assert "## WAS GESCHAH" in page
    assert say("Timeline") == "Timeline"


def test_a_catalogue_made_from_the_code_is_spoken(session, tmp_path, monkeypatch):
    """As docs/how-to/reports.md says: the texts are read from the code, and what a catalogue has is said."""
    from docs import messages

    found = messages.messages()
    assert {("Timeline",), ("Monthly report",), ("{n} look", "{n} looks")} <= set(found)
    assert len(found) > 200
    catalogue = tmp_path / "de" / "LC_MESSAGES" / "watchkeeper.mo"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_bytes(compiled({"": "Content-Type: text/plain; charset=UTF-8\n", "Timeline": "Zeitleiste"}))
    monkeypatch.setattr("agent.reports.language.LOCALE", tmp_path)
    facts = incident_facts(session, Story(session).whole().incident, at=day(45)).to_json()
    assert "## Zeitleiste" in render(facts, "md", language="de")
    assert "## What happened" in render(facts, "md", language="de")
    assert "## Timeline" in render(facts, "md")


def compiled(texts: dict[str, str]) -> bytes:
    """A catalogue as msgfmt writes it."""
    pairs = sorted((a.encode(), b.encode()) for a, b in texts.items())
    at, body = 28 + 16 * len(pairs), b""
    heads: tuple[list[int], list[int]] = ([], [])
    for side, head in enumerate(heads):
        for pair in pairs:
            head.append(struct.pack("<2I", len(pair[side]), at + len(body)))
            body += pair[side] + b"\0"
    start = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    return start + b"".join(heads[0] + heads[1]) + body


def test_ninety_days_of_hourly_looks_are_thinned_and_keep_their_extremes(session):
    Story(session).watched(values={})
    for hour in range(0, 90 * 24, 6):
        end = day(20) + timedelta(hours=hour)
        run = MonitorRun(model="bike-demand", window_start=day(10), window_end=end, rows=9, champion="1", seconds=0.1)
        session.add(run)
        session.flush()
        value = 500.0 if hour == 600 else 10 + hour % 7
        session.add(
            MeasurementRow(
                run_id=run.id, model="bike-demand", monitor="performance.mae", n=100, window_start=day(10),
                window_end=end, value=value, low=value - 1, high=value + 1, unit="", threshold=18.0, status="ok",
                detail="", facts={},
            )
        )  # fmt: skip
    chart = period_facts(session, start=day(20), end=day(111)).models[0].chart
    assert chart is not None
    assert (chart.looks, len(chart.points) <= 243) == (360, True)
    assert max(p.value or 0 for p in chart.points) == 500.0
