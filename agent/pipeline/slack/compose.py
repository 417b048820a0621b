"""Which messages an event means in Slack: a card or its edit, a line in a thread, a digest, a report.

A pure reading of the records as they are when the message goes out. What stands in Slack already, and says the same,
is left alone, so that an event that comes late, twice, or after a crash changes nothing. Delivery asks again after each
message that has arrived: a thread can only be answered when its first message is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from agent.domain.notifying import UPDATE
from agent.pipeline.event import DIGEST, Event, Post
from agent.pipeline.services import Services
from agent.pipeline.slack import lines, posts
from agent.pipeline.slack.approval import approval_card
from agent.pipeline.slack.incident import incident_card
from agent.pipeline.slack.pictures import of_incident
from agent.pipeline.slack.records import read_approval, read_incident
from agent.pipeline.slack.reminder import reminder_card
from agent.pipeline.slack.report import report_posts
from agent.store.tables import Incident, Proposal, SlackPost
from notifications.message import File

SAID_BY_CARDS = ("incident", "proposal")


def compose(services: Services, session: Session, event: Event) -> Sequence[Post]:
    """The messages that are still to be sent to the event's address, in order."""
    if event.kind == DIGEST:
        return _only(posts.once(services, session, event, DIGEST, lines.digest_card(event, services.public_url)))
    incident, proposal = _about(session, event)
    root: SlackPost | None = None
    made: list[Post] = []
    if incident is not None and _has_thread(event):
        card = incident_card(read_incident(services, session, incident), services.public_url)
        made += _only(posts.card_post(services, session, event, "incident", incident.id, card, ""))
        root = posts.found(session, incident.id, "incident", event.address)
        if root is None:
            return made
    thread = root.reference if root is not None else ""
    if proposal is not None and _has_thread(event):
        made += _approval(services, session, event, proposal, thread)
        card_row = posts.found(session, proposal.id, "approval", event.address)
        thread = thread or (card_row.reference if card_row is not None else "")
    return [*made, *_said(services, session, event, incident, proposal, thread)]


def _approval(services: Services, session: Session, event: Event, proposal: Proposal, thread: str) -> list[Post]:
    """The approval card, posted by the event that promised it, and edited by every later one."""
    known = posts.found(session, proposal.id, "approval", event.address)
    if known is None and event.kind != "proposal":
        return []
    document = approval_card(read_approval(services, session, proposal), services.public_url)
    if known is None and thread:
        document["reply_broadcast"] = True
    return _only(posts.card_post(services, session, event, "approval", proposal.id, document, thread))


def _said(
    services: Services,
    session: Session,
    event: Event,
    incident: Incident | None,
    proposal: Proposal | None,
    thread: str,
) -> list[Post]:
    """What is said once about the event, beside the cards."""
    if event.kind == UPDATE:
        line = lines.change_line(session, event) if thread else None
        return _only(posts.once(services, session, event, "line", line, thread)) if line else []
    if event.kind in ("reminder", "escalation"):
        direct = _is_direct(event)
        if proposal is None or proposal.state != "pending" or (event.kind == "escalation" and not direct):
            return []  # decided meanwhile; or told to the whole channel by the reminder
        view = read_approval(services, session, proposal)
        card = reminder_card(session, event, view, services.public_url, direct=direct)
        return _only(posts.once(services, session, event, "line", card, thread))
    if event.kind == "report":
        return report_posts(services, session, event, thread)
    if event.kind == "proposal" and proposal is not None:
        if posts.found(session, event.key, "files", event.address) is not None:
            return []
        files = [*_whole_text(proposal.id, proposal.why), *of_incident(services, session, incident)]
        told = {"text": "What led to it: the metric, the inputs, and the reason in full where it is long."}
        return _only(posts.once(services, session, event, "files", told, thread, files)) if files else []
    if event.kind in SAID_BY_CARDS and thread:
        return []
    files = _whole_text(event.subject or "message", event.body) if len(event.body) > lines.LONG else []
    return _only(posts.once(services, session, event, "line", lines.event_line(event), thread, files))


def _whole_text(name: str, text: str) -> list[File]:
    """A text that is too long for a card, as a file."""
    if len(text) <= lines.LONG // 2:
        return []
    return [File(f"{name}.txt", "text/plain", text.encode("utf-8", "replace"), "the whole text")]


def _about(session: Session, event: Event) -> tuple[Incident | None, Proposal | None]:
    proposal = session.get(Proposal, event.subject) if event.subject.startswith("p-") else None
    wanted = proposal.incident_id if proposal is not None else event.topic or event.subject
    incident = session.get(Incident, wanted) if wanted and wanted.startswith("i-") else None
    return incident, proposal


def _has_thread(event: Event) -> bool:
    """Whether the event belongs to a card at its address: not for one person, nor for the owner of broken data."""
    return not _is_direct(event) and event.kind != "fix_data"


def _is_direct(event: Event) -> bool:
    """Whether it goes to one person."""
    return bool(event.person) or event.address.startswith(("U", "W", "D"))


def _only(post: Post | None) -> list[Post]:
    return [post] if post is not None else []
