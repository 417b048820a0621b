from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.orm import Session

from agent.domain.proposal import ProposalEvent
from agent.reports.facts import IncidentFacts, incident_facts, period_facts
from agent.reports.render import render
from agent.store.session import Store
from tests.agent.reports.story import HELPED, Story, day
from tests.furnish import furnish


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    store = Store(database_url)
    furnish(store)
    with store.write() as session:
        yield session
    store.close()


@pytest.fixture(autouse=True)
def _pictures_are_drawn_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here is what is said; drawing would take most of the time."""
    monkeypatch.setattr("agent.reports.canvas.svg_of", lambda *_, **__: "<svg></svg>")


def facts_of(story: Story, number: float = 45) -> IncidentFacts:
    return incident_facts(story.session, story.incident, at=day(number))


def numbers(text: str) -> set[float]:
    return {float(token) for token in re.findall(r"\d+(?:\.\d+)?", text)}


def test_the_whole_story(session: Session) -> None:
    facts = facts_of(Story(session).whole())
    assert facts.state == "resolved"
    assert facts.times.onset == day(30)
    assert (facts.took.detect and facts.took.detect.text) == "6 d"
    assert (facts.took.decide and facts.took.decide.text) == "12 h"
    assert (facts.took.execute and facts.took.execute.text) == "4.1 s"
    assert (facts.took.recover and facts.took.recover.text) == "6 d"
    effect = facts.effect
    assert effect is not None
    assert (effect.before and effect.before.value) == 14.0
    assert (effect.during and effect.during.value) == 32.0
    assert (effect.after, effect.do_nothing, effect.n) == (27.1, 61.2, 210)
    assert facts.diagnosis is not None
    assert [c.cause for c in facts.diagnosis.causes] == ["concept_drift_gradual", "seasonal"]
    assert facts.diagnosis.causes[0].percent == 93
    assert facts.diagnosis.not_checked[0].what == "rollback"
    proposal = facts.proposal
    assert proposal is not None
    assert proposal.trial is not None
    assert (proposal.trial.before, proposal.trial.after, proposal.trial.gain) == (58.2, 34.8, 21.3)
    assert [d.person for d in proposal.decisions] == ["ana"]
    assert [s.name for s in (proposal.execution.steps if proposal.execution else [])] == ["recheck", "train", "switch"]
    assert proposal.undo == "roll back to the version it replaced"
    assert "approved by ana" in facts.summary
    assert "It helped: mae is 27.1 on 210 later rows, where it would have been 61.2" in facts.summary
    assert facts.needs_you == []


def test_the_chart_marks_onset_decision_deployment_and_recovery(session: Session) -> None:
    chart = facts_of(Story(session).whole()).chart
    assert chart is not None
    assert [(m.key, m.kind) for m in chart.marks] == [
        ("A", "deployment"),
        ("B", "onset"),
        ("C", "detected"),
        ("D", "decided"),
        ("E", "deployment"),
        ("F", "recovered"),
    ]
    assert "14 at 2026-01-21" in chart.alt


def test_the_timeline_is_the_audit_in_order(session: Session) -> None:
    story = Story(session).whole()
    for number in range(43, 46):
        story._audit(number, "diagnosis", "incident diagnosed", story.incident.id, {"from": "open", "reason": "same"})
    told = facts_of(story).timeline
    assert [line.seq for line in told] == sorted(line.seq for line in told)
    assert told[0].text.startswith("Incident opened")
    assert (told[-1].times, told[-1].until) == (3, day(45))
    assert any(line.text == "Executed: version 2 replaced version 1" for line in told)


def bare(story: Story) -> None:
    story.watched(values={}).opened()


def undiagnosed(story: Story) -> None:
    story.watched().opened()


def stood_down(story: Story) -> None:
    story.watched().opened()
    story.diagnosed(action={"kind": "no_action", "why": "the loss is within its tolerance of 1.5"}, verdict="ok")


def escalated(story: Story) -> None:
    story.watched().opened()
    story.diagnosed(action={"kind": "no_action", "why": "two actions are within 1 error", "escalate": True})


def pending(story: Story) -> None:
    story.watched().opened()
    story.proposed(diagnosis=story.diagnosed())


def declined(story: Story) -> None:
    story.watched().opened()
    story.rejected(story.proposed(diagnosis=story.diagnosed()), "holiday freeze until day 8")


def expired(story: Story) -> None:
    story.watched().opened()
    row = story.proposed(diagnosis=story.diagnosed(), trial=None)
    story.ended(row, ProposalEvent.EXPIRE, "nobody decided by 2026-02-10 00:00 UTC")


def superseded(story: Story) -> None:
    story.watched().opened()
    row = story.proposed(diagnosis=story.diagnosed())
    story.ended(row, ProposalEvent.SUPERSEDE, "the champion is version 7 now, not 1")


def approved(story: Story) -> None:
    story.watched().opened()
    story.approved(story.proposed(diagnosis=story.diagnosed()))


def watched(story: Story) -> None:
    story.watched().opened()
    row = story.proposed(diagnosis=story.diagnosed())
    story.executed(row, story.approved(row))


def failed(story: Story) -> None:
    story.watched().opened()
    row = story.proposed(diagnosis=story.diagnosed())
    story.judged(row, story.executed(row, story.approved(row)), "failed")


def recovered(story: Story) -> None:
    story.whole()


CASES: dict[str, tuple[Callable[[Story], None], str]] = {
    "bare": (bare, "there are no labelled rows"),
    "undiagnosed": (undiagnosed, "not been diagnosed yet"),
    "stood down": (stood_down, "Nothing was proposed: the loss is within its tolerance of 1.5."),
    "escalated": (escalated, "a person was asked to choose"),
    "pending": (pending, "waits for a decision until 2026-02-10 00:00 UTC"),
    "rejected": (declined, "rejected by rita: holiday freeze until day 8. Nothing was changed."),
    "expired": (expired, "expired: nobody decided by 2026-02-10 00:00 UTC. Nothing was changed."),
    "superseded": (superseded, "overtaken by events: the champion is version 7 now, not 1"),
    "approved": (approved, "it has not been carried out yet"),
    "watched": (watched, "Whether it helped is not known yet; the check is due by 2026-02-23 00:00 UTC"),
    "failed": (failed, "It did not help"),
    "recovered": (recovered, "It helped"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_state_is_told_and_rendered(session: Session, case: str) -> None:
    tell, expected = CASES[case]
    story = Story(session)
    tell(story)
    facts = facts_of(story)
    assert expected in facts.summary
    told = facts.to_json()
    known = numbers(json.dumps(told))
    for prose in (facts.summary, *facts.needs_you):
        assert numbers(prose) <= known, numbers(prose) - known
    page, text = render(told, "html"), render(told, "md")
    assert json.loads(render(told, "json")) == told
    assert story.incident.id in page
    assert story.incident.id in text


@pytest.mark.parametrize("case", ["recovered", "rejected", "expired", "failed"])
def test_every_number_of_a_page_is_in_the_json(session: Session, case: str) -> None:
    story = Story(session)
    CASES[case][0](story)
    told = facts_of(story).to_json()
    known = numbers(json.dumps(told)) | {95.0}  # the level of every interval
    text = render(told, "md")
    assert numbers(text) <= known, numbers(text) - known
    page = re.sub(r"<(style|svg)\b.*?</\1>|<[^>]+>|&#?\w+;", " ", render(told, "html"), flags=re.DOTALL)
    assert numbers(page) <= known, numbers(page) - known


def test_a_rejection_before_the_success_is_told_too(session: Session) -> None:
    story = Story(session)
    declined(story)
    again = story.proposed(41, diagnosis=story.diagnosed(41))
    story.judged(again, story.executed(again, story.approved(again, number=41.5), number=42), number=44)
    facts = facts_of(story, 46)
    assert [p.state for p in facts.proposals] == ["rejected", "succeeded"]
    assert facts.proposal is not None
    assert facts.proposal.id == again.id
    assert facts.diagnosis is not None
    assert facts.diagnosis.made == 2
    assert "rejected by rita" in facts.summary


def test_the_rollback_offered_after_a_failure_shows_what_it_would_win_back(session: Session) -> None:
    story = Story(session)
    failed(story)
    offered = story.proposed(
        43, trial={**HELPED, "after": 40.0, "do_nothing": 30.0, "gain": -10.0, "interval": [-12.0, -8.0]}
    )
    trial = next(p.trial for p in facts_of(story).proposals if p.id == offered.id)
    assert trial is not None
    assert (trial.before, trial.after, trial.gain, trial.low, trial.high) == (40.0, 30.0, 10.0, 8.0, 12.0)


def test_a_period_says_what_it_does_not_know(session: Session) -> None:
    Story(session).whole()
    Story(session, name="quiet").watched(values={40: None, 41: None})
    Story(session, name="asleep").watched(values={})
    facts = period_facts(session, start=day(35), end=day(45))
    states = {w.model.name: w.state for w in facts.models}
    assert states == {"bike-demand": "breach", "quiet": "no data", "asleep": "not looked at"}
    assert "not known to be well: asleep and quiet" in facts.summary
    assert facts.counts.incidents == 1
    assert facts.counts.open == 0
    quiet = next(w for w in facts.models if w.model.name == "quiet")
    assert (quiet.looks, quiet.looks_without_data, quiet.latest) == (2, 2, None)
    told = facts.to_json()
    known = numbers(json.dumps(told)) | {95.0}
    assert numbers(render(told, "md")) <= known
    assert "quiet" in render(told, "html")


def test_a_period_of_one_model_lists_what_waits_for_it_alone(session: Session) -> None:
    pending(Story(session))
    other = Story(session, name="other")
    pending(other)
    facts = period_facts(session, model="other", start=day(35), end=day(45))
    assert [w.model for w in facts.waiting] == ["other"]
    assert [w.model.name for w in facts.models] == ["other"]


def test_an_empty_workspace_has_a_report(session: Session) -> None:
    told = period_facts(session, start=day(0), end=day(7)).to_json()
    assert "There is no model yet" in render(told, "md")
    assert "There is no model yet" in render(told, "html")
