"""`/settings/messages`: what I want to be told, where and at which hours; and what became of each message."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from agent.domain.alerting import SEVERITIES
from agent.domain.errors import InvalidInput, NotAllowed
from agent.domain.notifying import MAIL, SLACK
from agent.doors.access import PrincipalDep, needs, require_sight
from agent.doors.api.inputs import RecordId, ServicesDep, Word
from agent.doors.console import page
from agent.doors.console.forms import Form, person_of
from agent.doors.principal import Principal
from agent.pipeline import people, redeliver
from agent.pipeline.preferences import Wishes, set_wishes, wishes_of
from agent.pipeline.services import Services
from agent.store.tables import DELIVERY_STATES, Outbox

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
LISTED = 50
KINDS = (
    "incident", "proposal", "escalated", "executed", "verified", "resolved", "report", "fix_data", "abandoned", "stage",
)  # fmt: skip
DIGESTS = (("0", "each at once"), ("1h", "one an hour"), ("4h", "one in four hours"), ("1d", "one a day, at eight"))


@router.get("/settings/messages", dependencies=[needs("viewer")])
def show_messages(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    state: Annotated[Word | None, Query()] = None,
    person: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    return _page(request, services, principal, person=person, state=state if state in DELIVERY_STATES else None)


@router.post("/settings/messages", dependencies=[needs("viewer")])
def change_wishes(request: Request, services: ServicesDep, principal: PrincipalDep, form: Form) -> Response:
    """Keep what whoever asks wants; a token, which may be a program's, changes nobody's wishes."""
    if principal.kind not in ("person", "local"):
        raise NotAllowed("What somebody wants to be told is theirs to say: sign in, or use `watchkeeper preferences`.")
    name = person_of(principal, form)
    try:
        with services.store.write() as session:
            before = wishes_of(session, name) or Wishes()
            set_wishes(services, session, name, _wished(before, form))
    except InvalidInput as wrong:
        return _page(request, services, principal, person=name, error=str(wrong), given=form, status=422)
    where = f"?person={name}" if principal.kind == "local" else ""
    return RedirectResponse(f"/settings/messages{where}", 303)


@router.post("/settings/messages/{id}/retry", dependencies=[needs("operator", "propose")])
def retry(services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form) -> Response:
    with services.store.read() as session:
        wanted = redeliver.one_of_them(session, id)
        require_sight(principal, session.get_one(Outbox, wanted.event_id).model, f"There is no delivery {id!r}.")
    redeliver.retry(services, wanted.id, actor=principal.name or form.get("person") or "local")
    return RedirectResponse("/settings/messages?state=failed#sent", 303)


def _wished(before: Wishes, form: dict[str, str]) -> Wishes:
    """The wishes of a form; channels that the form does not show (a phone, Apprise) stay. Raises: InvalidInput."""
    slack, mail = form.get("slack", ""), form.get("mail", "")
    if slack and not slack.startswith(("U", "W")):
        raise InvalidInput(
            "slack: give your own member id, such as U0123ABCD; in Slack: your profile, ⋮, Copy member ID."
        )
    channels = {name: place for name, place in before.channels.items() if name not in (MAIL, SLACK)}
    channels |= {name: place for name, place in ((MAIL, mail), (SLACK, slack)) if place}
    start, end = form.get("quiet_from", ""), form.get("quiet_to", "")
    if bool(start) != bool(end):
        raise InvalidInput("quiet: give both ends of the quiet hours, or none.")
    return replace(
        before,
        channels=channels,
        severity=form.get("severity", before.severity),
        models=tuple(form.get("models", "*").split()) or ("*",),
        kinds=tuple(kind for kind in KINDS if form.get(f"kind_{kind}")) or ("*",),
        quiet=f"{start}-{end}" if start else "",
        time_zone=form.get("time_zone", "") or "UTC",
        digest=form.get("digest", before.digest),
    )


def _page(
    request: Request,
    services: Services,
    principal: Principal,
    *,
    person: str = "",
    state: str | None = None,
    error: str = "",
    given: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    """given: the form that was refused, shown again as it was."""
    name = principal.name or person
    with services.store.read() as session:
        kept = (wishes_of(session, name) if name else None) or Wishes()
        start, _, end = kept.quiet.partition("-")
        told = {
            "mail": kept.channels.get(MAIL, ""), "slack": kept.channels.get(SLACK, ""), "severity": kept.severity,
            "models": " ".join(kept.models), "quiet_from": start, "quiet_to": end, "time_zone": kept.time_zone,
            "digest": kept.digest, **{f"kind_{kind}": "on" for kind in kept.kinds if kept.kinds != ("*",)},
        }  # fmt: skip
        sent = []
        if principal.may("operator"):
            found = redeliver.deliveries(session, state=state, limit=LISTED * 2)
            sent = [(row, event) for row, event in found if principal.models is None or principal.sees(event.model)]
        me = people.found(session, name) if name else None
        return page.render(
            request,
            "messages.html",
            status=status,
            session=session,
            name=name,
            wishes=told if given is None else {**{key: told[key] for key in told if key[:5] != "kind_"}, **given},
            others=sorted(set(kept.channels) - {MAIL, SLACK}),
            ready={channel: channel in services.channels for channel in (MAIL, SLACK)},
            restricted=list(me.models) if me is not None else [],
            severities=SEVERITIES,
            kinds=KINDS,
            digests=DIGESTS if kept.digest in dict(DIGESTS) else (*DIGESTS, (kept.digest, f"every {kept.digest}")),
            sent=sent[:LISTED],
            counts=redeliver.counts(session) if principal.models is None else {},
            state=state,
            states=DELIVERY_STATES,
            may_retry=principal.may("operator", "propose"),
            error=error,
        )
