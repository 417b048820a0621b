"""What a mail says of a proposal: what will be done, the risk, why, what the trial showed, who decides until when."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.proposal import ProposalState
from agent.domain.wording import figure, moment, names, percent, shown, visible, words
from agent.pipeline.card import make_card
from agent.pipeline.services import Services
from agent.pipeline.trials import TrialView
from agent.store.tables import Approval, Diagnosis, Proposal


def facts_of(services: Services, session: Session, proposal: Proposal) -> list[tuple[str, str]]:
    """Label and text, from the stored bytes of the proposal; the trial and the cause where there are any."""
    diagnosis = session.get(Diagnosis, proposal.diagnosis_id) if proposal.diagnosis_id else None
    given = session.scalars(select(Approval).where(Approval.proposal_id == proposal.id)).all()
    card = make_card(services.policy(), proposal, diagnosis, list(given))
    facts = [("What will be done", f"{_capital(card.does)} ({visible(card.version, 100)})")]
    facts.append(("Risk", f"{_capital(proposal.risk)}: {visible(card.touches, 300)}"))
    facts.append(("To undo it", _capital(card.undo)))
    if card.cause:
        sure = f", {percent(card.probability)} % sure" if card.probability is not None else ""
        facts.append(("Most likely cause", f"{_capital(words(card.cause))}{sure}"))
    if card.trial is not None and (trial := trial_text(card.trial)):
        facts.append(("What the trial showed", trial))
    if proposal.state == ProposalState.PENDING:
        many = f"{card.missing} of {names(card.may_decide)}" if card.may_decide else "nobody, by approvals.yaml"
        facts.append(("Decides", f"{many}, until {moment(proposal.approve_by)}"))
    else:
        facts.append(("By now", f"{_capital(words(proposal.state))}: there is nothing to decide any more"))
    return [(label, visible(text, 400)) for label, text in facts]


def trial_text(trial: TrialView) -> str:
    """The metric before and after, and the gain of a row with its interval.

    >>> trial_text(TrialView("retrain", 800, "mae", (59.3, 41.2), (None, None), 18.1, 15.0, 21.0))
    'mae 59.3 → 41.2; gain of a row 18.1 (95 %: 15 to 21); on 800 recent rows'
    """
    before, after = trial.shown
    parts = []
    if before is not None and after is not None:
        name = "loss" if trial.of_loss else visible(trial.name, 60) or "metric"
        parts.append(f"{name} {_number(before)} → {_number(after)}")
    if trial.gain is not None:
        known = trial.low is not None and trial.high is not None
        interval = f" (95 %: {_number(trial.low)} to {_number(trial.high)})" if known else ""
        parts.append(f"gain of a row {_number(trial.gain)}{interval}")
    if trial.n:
        parts.append(f"on {int(trial.n):,} recent rows")
    return "; ".join(parts)


def _number(value: float | None) -> str:
    return shown(figure(value)).removesuffix(".0")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
