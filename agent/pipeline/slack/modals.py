"""The two modals: why somebody rejects, and all that is known of a proposal."""

from __future__ import annotations

import json
from typing import Any

from agent.domain.proposal import ProposalState
from agent.domain.wording import words
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack.approval import DECIDED, STATES, button_value, capital, fact_line, trial_line
from agent.pipeline.slack.blocks import Block
from agent.pipeline.slack.records import ApprovalView
from agent.pipeline.slack.text import bold, code, console, disarmed, link, said, when
from agent.store.tables import Diagnosis, Proposal

REJECT, BAD_ANSWER = "reject", "bad_answer"
LONGEST_REASON = 2000
PARAMETER, MOST_PARAMETERS, MOST_FACTS = 1500, 20, 30


def reject_modal(proposal: Proposal, does: str, place: dict[str, str]) -> Block:
    """Asks for the reason; `place` is where the click was, so that an answer finds its way."""
    about = f"{said(capital(does), 600)}, for {said(proposal.model, 80)}."
    parts = [
        kit.section(f"{bold('It will not be done:')} {about}"),
        _typed("reason", "Why not?", "The next diagnosis and the report will say it.", LONGEST_REASON),
    ]
    return kit.modal(REJECT, "Reject", parts, private=_private(proposal, place), submit="Reject")


def bad_answer_modal(message: str, place: dict[str, str]) -> Block:
    """Asks what was wrong with an answer."""
    parts = [_typed("reason", "What was wrong with this answer?", "It is stored with the answer.", LONGEST_REASON)]
    private = json.dumps({"message": message, **place}, separators=(",", ":"))
    return kit.modal(BAD_ANSWER, "Thank you", parts, private=private, submit="Send")


def details_modal(view: ApprovalView, diagnosis: Diagnosis | None, public_url: str = "") -> Block:
    """The exact parameters, all evidence, what was ruled out, who decided, and the digest of the bytes."""
    card = view.card
    proposal = card.proposal
    parts: list[Block] = [
        kit.section(f"{bold(said(capital(card.does), 1500))}\n{STATES[ProposalState(proposal.state)][1]}."),
        kit.section(bold("Exact parameters")),
    ]
    for name, value in card.parameters[:MOST_PARAMETERS]:
        parts.append(kit.section(f"{said(name, 80)}: {code(value, PARAMETER)}"))
    if proposal.why:
        parts.append(kit.section(f"{bold('Why')}\n{said(capital(proposal.why), 2500)}"))
    if card.trial is not None:
        parts.append(kit.section(f"{bold('Trial')}\n{trial_line(card.trial)}"))
    document = diagnosis.document if diagnosis is not None else {}
    if facts := [fact_line(fact) for fact in document.get("evidence", [])][:MOST_FACTS]:
        parts.append(kit.section(bold("Evidence")))
        parts += [kit.section("\n".join(f"• {line}" for line in facts[at : at + 6])) for at in range(0, len(facts), 6)]
    if ruled := document.get("ruled_out", [])[:10]:
        lines = [
            f"• {said(capital(words(str(one.get('what', '')))), 80)}: {said(one.get('why', ''), 200)}" for one in ruled
        ]
        parts.append(kit.section(f"{bold('Ruled out')}\n" + "\n".join(lines)))
    for row in card.approvals[:20]:
        reason = f": {said(row.reason, 300)}" if row.reason else ""
        parts.append(kit.context(f"{said(row.person, 80)} {DECIDED[row.decision]} {when(row.at)}{reason}"))
    page = console(public_url, f"/approvals/{proposal.id}")
    parts.append(kit.section(f"{bold('Digest')}\n{code(proposal.digest, 100)}"))
    parts.append(kit.context(f"{link(page, proposal.id)} · asked for by {said(proposal.requested_by, 80)}"))
    return kit.modal("details", disarmed(proposal.kind.replace("_", " ").capitalize(), 24), parts)


def _typed(name: str, label: str, hint: str, longest: int) -> Block:
    return {
        "type": "input",
        "block_id": name,
        "label": kit.plain(label, 200),
        "hint": kit.plain(hint, 200),
        "element": {"type": "plain_text_input", "action_id": "typed", "multiline": True, "max_length": longest},
    }


def _private(proposal: Proposal, place: dict[str, str]) -> str:
    return json.dumps({**json.loads(button_value(proposal)), **place}, separators=(",", ":"))


def said_in(view: dict[str, Any]) -> tuple[dict[str, str], str]:
    """What a submitted modal carries: where it came from, and what was typed."""
    try:
        private = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        private = {}
    values = (view.get("state") or {}).get("values") or {}
    typed = ((values.get("reason") or {}).get("typed") or {}).get("value") or ""
    return (private if isinstance(private, dict) else {}), str(typed)
