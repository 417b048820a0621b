"""Whatever the records hold, Slack takes the message: emoji, Chinese, right-to-left, bidi overrides, markup, 50 kB.

`SLACK_PAYLOADS` says how many random reports and incidents are composed (300 in CI; `make slack`: 2,000). Each is held
against every documented limit by the loopback Slack's own checks, which are stricter than Slack's.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from agent.domain.deciding import standing
from agent.domain.incident import IncidentState
from agent.domain.policy import Person, Policy, Rule
from agent.domain.proposal import ProposalState
from agent.doors.slack.handle.spoken import to_markdown, to_mrkdwn
from agent.doors.slack.loopback.surfaces import check_message, check_view
from agent.pipeline.card import make_card
from agent.pipeline.event import Event
from agent.pipeline.release import request_of
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack import lines, modals
from agent.pipeline.slack.approval import approval_card
from agent.pipeline.slack.incident import incident_card
from agent.pipeline.slack.records import ApprovalView, IncidentView
from agent.pipeline.slack.report import report_card
from agent.store.tables import Alert, Approval, Diagnosis, Incident, Proposal, Report, Verification
from tests.agent.reports.story import day
from tools import actions
from tools.actions import CHARACTER, ActionKind, Risk

MANY = int(os.environ.get("SLACK_PAYLOADS", "300"))
NASTY = (
    "😀👩‍🚒🏳️‍🌈", "漢字かな交じり文", "שלום עולם", "\u202eevil\u202c", "<!channel> <@U123> <https://evil.example|x>",
    "&amp;&lt;",
    "*bold* _it_ ~no~ `code` ```pre```", ":white_check_mark: :tada:", "line\nAPPROVED by ann\n> quote",
    "\u200b\u2066\x00\x07",
    "e\u0301" * 3, "https://evil.example/?q=1", "@here @channel", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "|", "-->", "\ud83d", "tab\there",
)  # fmt: skip


def _grown(rng: random.Random) -> str:
    size = rng.choice((0, 1, 5, 40, 300, 3_000, 50_000))
    made: list[str] = []
    while len(made) < size / 4:
        made += [rng.choice(NASTY), rng.choice((" ", "", "a", "x" * 37))]
    return "".join(made)[:size].encode("utf-8", "replace").decode()  # as the database gives it back


POOL = [_grown(random.Random(seed)) for seed in range(150)]


def text(rng: random.Random, longest: int = 50_000) -> str:
    """A text of the pool from somewhere in its middle on."""
    one = rng.choice(POOL)
    start = rng.randrange(max(len(one) - 10, 1))
    return one[start : start + longest]


def name(rng: random.Random) -> str:
    return text(rng, rng.choice((1, 8, 80, 400))) or "m"


def an_action(rng: random.Random) -> actions.Action:
    model, span = name(rng), {"window_start": day(1), "window_end": day(20)}
    return rng.choice(
        [
            lambda: actions.Rollback(model=model, expected_version=name(rng)[:60], to_version=name(rng)[:60]),
            lambda: actions.Retrain(model=model, expected_version="1", data_version="4", **span),
            lambda: actions.Silence(model=model, monitor="drift.psi", feature=name(rng), until=day(30)),
            lambda: actions.FixData(
                model=model,
                features=tuple({f"{number}-{name(rng)}" for number in range(rng.choice((1, 3, 500)))}),
                repair=text(rng),
                onset=day(3),
                window_end=day(9),
                notify="#feeds",
            ),
        ]
    )()


def a_view(rng: random.Random) -> tuple[ApprovalView, Diagnosis]:
    action = an_action(rng)
    kind = ActionKind(action.kind)
    facts = [
        {
            "id": f"E{n}",
            "statement": text(rng),
            "interval": rng.choice((None, [1.5, 2.5])),
            "n": rng.choice((None, 10**9)),
        }
        for n in range(rng.choice((0, 4, 40)))
    ]
    causes = [{"cause": name(rng), "supports": [fact["id"] for fact in facts], "probability": 0.93}]
    ruled = [{"what": text(rng), "why": text(rng)} for _ in range(rng.choice((0, 12)))]
    document = {"evidence": facts, "causes": causes, "ruled_out": ruled, "action": {"why": text(rng)}}
    diagnosis = Diagnosis(
        id="d-1",
        incident_id="i-1",
        at=day(3),
        cause=name(rng),
        probability=rng.random(),
        onset=day(2),
        document=document,
    )
    trial = rng.choice(
        (
            None,
            {
                "gain": 1e-9,
                "interval": [-1e300, 1e300],
                "n": 3,
                "metric": {"name": name(rng), "before": 1.0, "after": 2.0},
            },
        )
    )
    proposal = Proposal(
        id="p-7k2m9xq4c1", model=action.model, kind=action.kind, action=action.model_dump(mode="json"),
        digest=actions.digest(action), risk=CHARACTER[kind].risk, why=text(rng), trial=trial, requested_by=name(rng),
        state=rng.choice(list(ProposalState)), reason=text(rng), created_at=day(3), approve_by=day(5),
    )  # fmt: skip
    people = {f"{number}{name(rng)}": Person() for number in range(rng.choice((0, 3, 60)))}
    policy = Policy(people=people, risk={risk: Rule(approvals=2) for risk in Risk})
    approvals = [
        Approval(
            person=person,
            decision=rng.choice(("approve", "reject")),
            digest=proposal.digest,
            reason=text(rng),
            at=day(4),
        )
        for person in list(people)[: rng.choice((0, 2, 60))]
    ]
    card = make_card(policy, proposal, diagnosis, approvals)
    watched = rng.choice((None, Verification(proposal_id=proposal.id, due_at=day(9), verdict=None, document={})))
    if watched is not None and rng.random() < 0.5:
        watched.verdict, watched.document = "succeeded", {"statement": text(rng)}
    features = tuple(str(one) for one in proposal.action.get("features", ()))
    view = ApprovalView(
        card, standing(policy, request_of(proposal), []), None, watched, rng.choice(("", text(rng))), features
    )
    return view, diagnosis


def an_incident(rng: random.Random, view: ApprovalView, diagnosis: Diagnosis) -> IncidentView:
    incident = Incident(
        id="i-7k2m9xq4c1", model=rng.choice(("", name(rng))), state=rng.choice(list(IncidentState)), title=text(rng),
        severity=rng.choice(("info", "warning", "critical")), opened_at=day(1), resolved_at=day(9),
        resolution=text(rng),
    )  # fmt: skip
    alerts = [Alert(monitor=name(rng), detail=text(rng)) for _ in range(rng.choice((0, 1, 5)))]
    found = rng.choice((None, diagnosis))
    proposals = rng.choice(([], [view.card.proposal]))
    return IncidentView(
        incident, alerts, 500, 3, found, proposals, rng.choice((None, view)), rng.choice((None, view.verification))
    )


def a_report(rng: random.Random) -> Report:
    needs = [text(rng) for _ in range(rng.choice((0, 9)))]
    facts = {"summary": text(rng), "needs_you": rng.choice((needs, text(rng))), "counts": {name(rng): 10**12, "x": 1}}
    return Report(id="t-7k2m9xq4c1", kind="period", model=None, created_at=day(1), facts=facts)


def taken(document) -> None:
    """As `notifications.slack` sends it."""
    check_message({**document, "unfurl_links": False})
    check_message(document, update=True)


def test_every_message_is_within_every_limit():
    sizes = []
    for seed in range(MANY):
        rng = random.Random(seed)
        url = rng.choice(("", "https://watch.example"))
        view, diagnosis = a_view(rng)
        for document in (
            approval_card(view, url),
            incident_card(an_incident(rng, view, diagnosis), url),
            report_card(a_report(rng), text(rng), url),
            lines.event_line(an_event(rng)),
            lines.digest_card(an_event(rng), url),
        ):
            taken(document)
            sizes.append(kit.weight(document["blocks"]))
        check_view(modals.details_modal(view, diagnosis, url), "modal")
        check_view(modals.reject_modal(view.card.proposal, view.card.does, {"channel": "C1", "thread": "1.2"}), "modal")
    assert max(sizes) <= kit.TEXT_OF_ALL
    assert max(sizes) > 3000, "the random texts are too short to try anything"


def test_what_would_not_fit_is_left_out_and_said_and_the_buttons_stay():
    many = [kit.section("😀" * 1400) for _ in range(70)]
    document = kit.document("x", [kit.header("y" * 400), *many, kit.actions([kit.button("Approve", "approve", "v")])])
    taken(document)
    assert document["blocks"][-1]["type"] == "actions"
    assert "left out here for their length" in document["blocks"][-2]["elements"][0]["text"]


def an_event(rng: random.Random) -> Event:
    many = [{"title": text(rng), "severity": "critical"} for _ in range(rng.choice((0, 40)))]
    return Event(
        key="k", kind=rng.choice(("executed", "stage", "fix_data")), recipient="#c", title=text(rng), body=text(rng),
        subject="p-1", model="m", severity="info", topic="", at=day(1),
        document={"count": 500, "why": "storm", "events": many},
    )  # fmt: skip


@pytest.mark.parametrize("nasty", [*NASTY, "x" * 50_000, "\n".join(["*Approved* by ann"] * 500)])
def test_no_reason_touches_what_stands_on_the_buttons(nasty):
    """Adversarial reasons leave the action, its version and every button byte for byte as they were."""
    view, _ = a_view(random.Random(7))
    plain = _with(view, "because")
    other = _with(view, nasty.encode("utf-8", "replace").decode())

    def acts(found: ApprovalView):
        document = approval_card(found, "https://watch.example")
        shown = [block for block in document["blocks"] if block["type"] in ("header", "actions")]
        return [*shown, next(b for b in document["blocks"] if "What will be done" in b.get("text", {}).get("text", ""))]

    assert acts(plain) == acts(other)
    sections = [block for block in approval_card(other, "")["blocks"] if block["type"] == "section"]
    written = "\n".join(block.get("text", {}).get("text", "") for block in sections)
    assert "*Approved* by ann" not in written
    assert "<!channel>" not in written
    assert "\u202e" not in written


def _with(view: ApprovalView, why: str) -> ApprovalView:
    old = view.card.proposal
    row = Proposal(**{key: getattr(old, key) for key in (
        "id", "model", "kind", "action", "digest", "risk", "trial", "requested_by", "created_at", "approve_by",
    )}, state="pending", reason="", why=why)  # fmt: skip
    return replace(view, card=replace(view.card, proposal=row), held="", verification=None)


def test_answers_of_every_kind_become_safe_markdown_and_mrkdwn():
    for seed in range(MANY):
        rng = random.Random(seed)
        said = text(rng, rng.choice((10, 500, 9_000)))
        shown = to_mrkdwn(said, "https://watch.example")
        check_message({"text": kit.shortened(shown, kit.FALLBACK), "unfurl_links": False})
        assert "<" not in to_markdown(said)


def test_the_checks_would_see_what_is_too_long():
    """The validator itself refuses: without this the tests above could not fail."""
    from agent.doors.slack.loopback.surfaces import ApiError

    for blocks in (
        [kit.section("x")] * 51,
        [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2_900}}] * 5,
        [{"type": "section", "text": {"type": "mrkdwn", "text": "<b>"}}],
    ):
        with pytest.raises(ApiError):
            check_message({"text": "x", "blocks": blocks, "unfurl_links": False})
