"""Buttons and modals: approve, reject, look closer, ask. Who may is for policy to say; here it is who it was.

The digest on the button goes with the decision, so that nobody approves what they were not shown.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select

from agent.domain.errors import Conflict, Expired, InvalidInput, NotAllowed, NotFound, Unavailable
from agent.domain.roles import Role
from agent.domain.wording import in_order_to, moment
from agent.doors.slack.handle.asked import Asked, Refusal, call, privately
from agent.doors.slack.handle.feedback import judge, reasoned
from agent.doors.slack.handle.home import publish
from agent.doors.slack.handle.talk import invite, stop_here, talk_about
from agent.doors.slack.handle.who import Who, who_is
from agent.pipeline import approve as deciding
from agent.pipeline.services import Services
from agent.pipeline.slack import modals
from agent.pipeline.slack.approval import needs_console
from agent.pipeline.slack.follow import follow
from agent.pipeline.slack.records import read_approval
from agent.pipeline.slack.text import console, link, said
from agent.store import queries
from agent.store.tables import Approval, Diagnosis, Proposal

log = logging.getLogger(__name__)
DECIDED = {"approved": "approve", "rejected": "reject"}


def act(services: Services, asked: Asked, payload: dict[str, Any]) -> None:
    """Somebody used an element. Raises: Unavailable."""
    for action in payload.get("actions") or []:
        name, value = str(action.get("action_id") or ""), str(action.get("value") or "")
        found = ACTIONS.get(name.partition(":")[0])
        if found is not None:
            found(services, who_is(services, asked), value, payload)


def submitted(services: Services, asked: Asked, payload: dict[str, Any]) -> None:
    """Somebody sent a modal. Raises: Unavailable."""
    view = payload.get("view") or {}
    private, typed = modals.said_in(view)
    place = Asked(
        asked.team,
        asked.user,
        str(private.get("channel") or ""),
        str(private.get("thread") or ""),
        trigger=asked.trigger,
        key=asked.key,
    )
    who = who_is(services, place)
    if view.get("callback_id") == modals.REJECT:
        _decide(services, who, private, lambda wanted, digest: _reject(services, who, wanted, digest, typed))
    elif view.get("callback_id") == modals.BAD_ANSWER:
        reasoned(services, who, str(private.get("message") or ""), typed)


def needs_reason(payload: Mapping[str, Any]) -> dict[str, str]:
    """What to correct in a rejection before it is sent."""
    _, typed = modals.said_in(payload.get("view") or {})
    return {} if typed.strip() else {"reason": "Say why: the next diagnosis and the report will."}


def _approve(services: Services, who: Who, value: str, payload: Mapping[str, Any]) -> None:
    _decide(services, who, _read(value), lambda wanted, digest: _approve_it(services, who, wanted, digest))


def _approve_it(services: Services, who: Who, wanted: str, digest: str) -> Proposal:
    with services.store.read() as session:
        proposal = queries.by_id(session, Proposal, wanted)
    if needs_console(proposal.risk):
        page = console(services.public_url, f"/approvals/{proposal.id}")
        where = link(page, "in the console") if page else f"with `watchkeeper approve {proposal.id}`"
        raise NotAllowed(f"{proposal.id} is of high risk: it is approved {where}, after signing in again.")
    return deciding.approve(services, wanted, person=who.name, digest=digest)


def _reject(services: Services, who: Who, wanted: str, digest: str, reason: str) -> Proposal:
    return deciding.reject(services, wanted, person=who.name, reason=reason, digest=digest)


def _decide(services: Services, who: Who, given: Mapping[str, Any], decision: Callable[[str, str], Proposal]) -> None:
    """Let somebody decide, or tell them privately why not. Raises: Unavailable."""
    wanted, digest = str(given.get("proposal") or ""), str(given.get("digest") or "")
    said_no = who.why_not(Role.APPROVER)
    if said_no or not wanted or not digest:
        privately(services, who.asked, said_no or "This button is not one of mine any more.")
        return
    if too_late := _already(services, who, wanted):
        privately(services, who.asked, too_late)
        return
    try:
        proposal = decision(wanted, digest)
    except (NotAllowed, NotFound, Conflict, Expired, InvalidInput) as error:
        # Somebody else may have been first, a moment ago.
        told = _already(services, who, wanted) if isinstance(error, Conflict) else ""
        privately(services, who.asked, told or _plain(error))
        return
    finally:
        follow(services)
    privately(services, who.asked, _told(services, proposal))
    _refresh(services, who)


def _plain(error: Exception) -> str:
    """A message of ours for mrkdwn: links that we made stay, the rest is escaped."""
    text = str(error)
    return text if "<http" in text else said(text, 1500)


def _already(services: Services, who: Who, wanted: str) -> str:
    """The private line for a click that comes late, or twice; "" while there is something to decide."""
    with services.store.read() as session:
        try:
            proposal = queries.by_id(session, Proposal, wanted)
        except (NotFound, InvalidInput) as error:
            return said(error, 300)
        if not who.sees(proposal.model):
            return "You may not see this model; an admin can change that."
        rows = session.scalars(select(Approval).where(Approval.proposal_id == proposal.id).order_by(Approval.at)).all()
    names = {row.person: f"{said(row.person, 80)} at {moment(row.at)}" for row in rows if row.decision == "approve"}
    if proposal.state == "pending":
        return f"You approved it already, {names[who.name]}; others must, too." if who.name in names else ""
    if proposal.state in ("rejected", "expired", "superseded", "withdrawn"):
        against = [f" by {said(row.person, 80)} at {moment(row.at)}" for row in rows if row.decision == "reject"]
        by = "".join(against[-1:]) if proposal.state == "rejected" else ""
        why = f": {said(proposal.reason, 300)}" if proposal.reason else ""
        return f"Too late: {proposal.id} is already {proposal.state}{by}{why}."
    by_whom = " and ".join(names.values()) or "policy"
    return f"Too late: {proposal.id} was already approved by {by_whom}; it is {proposal.state} now."


def _told(services: Services, proposal: Proposal) -> str:
    if proposal.state == "rejected":
        return f"Rejected: {proposal.id} will not be done."
    if proposal.state == "pending":
        with services.store.read() as session:
            view = read_approval(services, session, queries.by_id(session, Proposal, proposal.id))
        return f"Recorded. {view.standing.missing} more of {view.card.needed} needed for {proposal.id}."
    return f"Approved: {said(in_order_to(proposal.action), 600)}, for {said(proposal.model, 80)}."


def _refresh(services: Services, who: Who) -> None:
    """Their queue is another one now; a page that cannot be drawn must not make the decision look undone."""
    try:
        publish(services, who)
    except Unavailable as error:
        log.warning("the home of %s: %s", who.asked.user, error)


def _ask_why(services: Services, who: Who, value: str, payload: Mapping[str, Any]) -> None:
    """Reject: first the reason. Raises: Unavailable."""
    given = _read(value)
    wanted = str(given.get("proposal") or "")
    said_no = who.why_not(Role.APPROVER) or _already(services, who, wanted)
    if said_no:
        privately(services, who.asked, said_no)
        return
    with services.store.read() as session:
        proposal = queries.by_id(session, Proposal, wanted)
    modal = modals.reject_modal(proposal, in_order_to(proposal.action), who.asked.place())
    modal["private_metadata"] = json.dumps(
        {"proposal": wanted, "digest": given.get("digest"), **who.asked.place()}, separators=(",", ":")
    )
    _open(services, who.asked, modal, f"To reject it: `watchkeeper reject {proposal.id} --reason …`, or the console.")


def _details(services: Services, who: Who, value: str, payload: Mapping[str, Any]) -> None:
    wanted = str(_read(value).get("proposal") or "")
    with services.store.read() as session:
        try:
            proposal = queries.by_id(session, Proposal, wanted)
        except (NotFound, InvalidInput) as error:
            privately(services, who.asked, said(error, 300))
            return
        hidden = who.refused or ("" if who.sees(proposal.model) else "You may not see this model.")
        view = read_approval(services, session, proposal)
        diagnosis = session.get(Diagnosis, proposal.diagnosis_id) if proposal.diagnosis_id else None
        modal = modals.details_modal(view, diagnosis, services.public_url)
    if hidden:
        privately(services, who.asked, hidden)
        return
    _open(services, who.asked, modal, f"All of it: `watchkeeper proposal show {wanted}`, or the console.")


def _ask(services: Services, who: Who, value: str, payload: Mapping[str, Any]) -> None:
    """Begin a conversation in the thread of what the button belongs to. Raises: Unavailable."""
    if who.refused:
        privately(services, who.asked, who.refused)
        return
    subject = str(_read(value).get("proposal") or value)
    invite(services, who, subject)


def _suggested(services: Services, who: Who, value: str, payload: Mapping[str, Any]) -> None:
    """Ask one of the questions that were offered, as if it had been typed."""
    talk_about(services, who, value)


def _stop(services: Services, who: Who, value: str, payload: Mapping[str, Any]) -> None:
    stop_here(services, who, value)


def _open(services: Services, asked: Asked, modal: dict[str, Any], otherwise: str) -> None:
    """Open a modal; where the three seconds for that are over, say how else."""
    try:
        call(services, "views_open", trigger_id=asked.trigger, view=modal)
    except Refusal as error:
        log.warning("a modal for %s could not be opened: %s", asked.user, error)
        privately(services, asked, f"That took too long for a window; please click again. {otherwise}")


def _read(value: str) -> dict[str, Any]:
    """What a button of ours carries; nothing of anybody else's."""
    try:
        found = json.loads(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


ACTIONS: Mapping[str, Callable[[Services, Who, str, Mapping[str, Any]], None]] = {
    "approve": _approve,
    "reject": _ask_why,
    "details": _details,
    "ask": _ask,
    "suggest": _suggested,
    "stop": _stop,
    "feedback": judge,
}
