"""The approval card: what will be done, from the stored bytes; why; what the trial showed; who may say yes, and how far
they are. It stays when all is decided, without its buttons, and says what became of it."""

from __future__ import annotations

import json
from typing import Any

from agent.domain.proposal import ProposalState
from agent.domain.wording import DONE, figure, percent, shown, words
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack.blocks import Block
from agent.pipeline.slack.records import ApprovalView
from agent.pipeline.slack.text import bold, code, console, disarmed, link, said, when
from agent.pipeline.trials import TrialView
from agent.store.tables import Proposal
from tools.actions import Risk

WHY, STATEMENT, REASON = 900, 240, 300
MOST_NAMES, MOST_FEATURES = 8, 8
S = ProposalState

STATES: dict[ProposalState, tuple[str, str]] = {
    S.PENDING: ("⏳", "Waits for a decision"),
    S.APPROVED: ("✅", "Approved; it is carried out next"),
    S.EXECUTING: ("⚙️", "Approved; it is being carried out"),
    S.EXECUTED: ("✅", "Carried out"),
    S.VERIFYING: ("👀", "Carried out; it is being watched whether it helped"),
    S.SUCCEEDED: ("✅", "Carried out, and it helped"),
    S.FAILED: ("❌", "Failed"),
    S.INCONCLUSIVE: ("❔", "Carried out; nobody can say whether it helped"),
    S.REJECTED: ("⛔", "Rejected; nothing was done"),
    S.EXPIRED: ("⌛", "Expired; nothing was done"),
    S.SUPERSEDED: ("↪️", "Overtaken; nothing was done"),
    S.WITHDRAWN: ("↩️", "Withdrawn; nothing was done"),
}
DECIDED = {"approve": "approved", "reject": "rejected"}
WHAT = {
    **dict.fromkeys((S.PENDING, S.APPROVED, S.EXECUTING), "What will be done"),
    **dict.fromkeys((S.REJECTED, S.EXPIRED, S.SUPERSEDED, S.WITHDRAWN), "What was proposed"),
    S.FAILED: "What was tried",
}


def approval_card(view: ApprovalView, public_url: str = "") -> dict[str, Any]:
    """The message: with buttons while it waits, final afterwards."""
    proposal = view.card.proposal
    pending = proposal.state == S.PENDING
    icon, state = STATES[S(proposal.state)]
    title = f"{disarmed(proposal.model, 60)}: {disarmed(view.card.does, 200)}"
    parts = [
        kit.header(f"{icon} {title}" if not pending else f"Approve? {title}"),
        kit.section(_outcome(view, icon, state)),
        *_what(view),
        *_why(view),
        *_buttons(view, public_url),
        kit.context(" · ".join(_small_print(view, public_url))),
    ]
    fallback = f"{icon} {said(proposal.model, 80)}: {said(view.card.does, 300)}. {state}."
    return kit.document(fallback, parts)


def button_value(proposal: Proposal) -> str:
    """What a click brings back: the proposal, and the digest of the bytes that were shown."""
    return json.dumps({"proposal": proposal.id, "digest": proposal.digest}, separators=(",", ":"))


def needs_console(risk: str) -> bool:
    """High risk is decided where people have signed in a moment ago."""
    return risk == Risk.HIGH


def _what(view: ApprovalView) -> list[Block]:
    card = view.card
    pairs = [
        ("Version", said(card.version, 120)),
        ("Risk", f"{said(capital(card.proposal.risk), 40)}: {said(card.touches, 300)}"),
        ("To undo it", said(capital(card.undo), 300)),
    ]
    if card.proposal.state == S.PENDING:
        pairs.append(("Decide by", when(card.proposal.approve_by)))
    head = WHAT.get(S(card.proposal.state), "What was done")
    shown_blocks = [kit.section(f"{bold(head)}\n{said(capital(card.does), 1500)}"), kit.fields(pairs)]
    if len(view.features) > MOST_FEATURES:
        names = ", ".join(code(name, 60) for name in view.features[:MOST_FEATURES])
        rest = len(view.features) - MOST_FEATURES
        shown_blocks.append(kit.section(f"{bold('Features')} ({len(view.features)})\n{names} and {rest} more"))
    return shown_blocks


def _why(view: ApprovalView) -> list[Block]:
    card = view.card
    made = []
    if card.proposal.why:
        made.append(kit.section(f"{bold('Why')}\n{said(capital(card.proposal.why), WHY)}"))
    if card.cause:
        sure = f" ({percent(card.probability)} % sure)" if card.probability is not None else ""
        made.append(kit.section(f"{bold('Most likely cause')}\n{said(capital(words(card.cause)), 200)}{sure}"))
    if card.evidence:
        lines = [f"• {fact_line(fact)}" for fact in card.evidence]
        made.append(kit.section(f"{bold('Evidence')}\n" + "\n".join(lines)))
    if card.trial is not None:
        made.append(kit.section(f"{bold('What the trial showed')}\n{trial_line(card.trial)}"))
    return made


def fact_line(fact: dict[str, Any]) -> str:
    """One numbered fact: its statement with interval and number of rows."""
    low, high = (*(fact.get("interval") or ()), None, None)[:2]
    extra = [f"{_number(low)} to {_number(high)}"] if low is not None and high is not None else []
    extra += [f"n = {int(fact['n']):,}"] if isinstance(fact.get("n"), (int, float)) else []
    return f"{code(fact.get('id', ''), 12)} {said(fact.get('statement', ''), STATEMENT)}" + (
        f" ({', '.join(extra)})" if extra else ""
    )


def trial_line(trial: TrialView) -> str:
    """The metric before and after, and the gain of a row with its interval."""
    before, after = trial.shown
    parts = []
    if before is not None and after is not None:
        name = "loss" if trial.of_loss else said(trial.name or "metric", 60)
        parts.append(f"{name} {_number(before)} → {bold(_number(after))}")
    if trial.gain is not None:
        gain = f"gain of a row {_number(trial.gain)}"
        if trial.low is not None and trial.high is not None:
            gain += f" (95 %: {_number(trial.low)} to {_number(trial.high)})"
        parts.append(gain)
    if trial.n:
        parts.append(f"on {int(trial.n):,} recent rows")
    return ", ".join(parts) or "It could not be tried."


def _outcome(view: ApprovalView, icon: str, state: str) -> str:
    """Where it stands: who has decided, who may, and what became of it."""
    card, proposal = view.card, view.card.proposal
    lines = [f"{icon} {bold(state)}"]
    if proposal.state == S.PENDING:
        lines.append(_quorum(view))
    elif proposal.reason and proposal.state not in (S.SUCCEEDED, S.INCONCLUSIVE, S.VERIFYING):
        lines.append(f"_{said(proposal.reason, REASON)}_")
    for row in card.approvals:
        word = DECIDED[row.decision]
        why = f": {said(row.reason, REASON)}" if row.reason and row.reason != proposal.reason else ""
        lines.append(f"• {said(row.person, 80)} {word} {when(row.at)}{why}")
    watched = view.verification
    if watched is not None and watched.verdict is None:
        lines.append(f"Judged by {when(watched.due_at)} at the latest.")
    elif watched is not None:
        lines.append(said(watched.document.get("statement", ""), STATEMENT))
    if view.held:
        lines.append(f"🧊 {bold('Nothing is executed now')}: {said(view.held, REASON)}")
    return "\n".join(line for line in lines if line)


def _quorum(view: ApprovalView) -> str:
    card, found = view.card, view.standing
    have = card.needed - found.missing
    who = [said(name, 60) for name in found.could[:MOST_NAMES]]
    more = len(found.could) - len(who)
    named = ", ".join(who) + (f" and {more} more" if more > 0 else "")
    if not who:
        return f"{have} of {card.needed} approvals. Nobody in `approvals.yaml` may give another; add somebody there."
    return f"{have} of {card.needed} approvals. Who may decide: {named}."


def _buttons(view: ApprovalView, public_url: str) -> list[Block]:
    proposal = view.card.proposal
    value = button_value(proposal)
    details, ask = kit.button("Details", "details", value), kit.button("Ask", "ask", value)
    if proposal.state != S.PENDING:
        return [kit.actions([details, ask], f"decided:{proposal.id}")]
    reject = kit.button("Reject…", "reject", value, style="danger")
    if not needs_console(proposal.risk):
        return [kit.actions([_approve(view, value), reject, details, ask], f"decide:{proposal.id}")]
    page = console(public_url, f"/approvals/{proposal.id}")
    told = "High risk: it is approved in the console, after signing in again."
    if not page:
        told = f"High risk: it is approved in the console, or by {code(f'watchkeeper approve {proposal.id}')}."
    go = [kit.button("Approve in the console", "console", url=page, style="primary")] if page else []
    return [kit.context(f"🔒 {told}"), kit.actions([*go, reject, details, ask], f"decide:{proposal.id}")]


def _approve(view: ApprovalView, value: str) -> dict[str, Any]:
    card = view.card
    last = view.standing.missing <= 1
    then = "It starts right after your approval." if last else f"{view.standing.missing - 1} more must approve."
    asked = f"{capital(disarmed(card.does, 170))}, for {disarmed(card.proposal.model, 60)}? {then}"
    return kit.button(
        "Approve", "approve", value, style="primary", confirm=kit.confirmation("Approve?", asked, "Approve")
    )


def _small_print(view: ApprovalView, public_url: str) -> list[str]:
    proposal = view.card.proposal
    page = console(public_url, f"/approvals/{proposal.id}")
    return [
        link(page, proposal.id),
        f"{DONE.get(proposal.kind, words(proposal.kind))} asked for by {said(proposal.requested_by, 80)}",
        f"digest {code(proposal.digest[:12])}",
    ]


def capital(text: str) -> str:
    """
    >>> capital("roll back")
    'Roll back'
    """
    return text[:1].upper() + text[1:]


def _number(value: Any) -> str:
    return shown(figure(float(value))) if isinstance(value, (int, float)) else "no data"
