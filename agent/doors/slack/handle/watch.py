"""`/watch`: what is asked most, answered at once and without a language model, where only who asks sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.domain.errors import Conflict, InvalidInput, NotAllowed, NotFound
from agent.domain.roles import Role
from agent.doors.slack.handle.asked import Asked, privately
from agent.doors.slack.handle.home import publish
from agent.doors.slack.handle.who import Who, who_is
from agent.pipeline import freeze as switch
from agent.pipeline import people
from agent.pipeline.services import Services
from agent.pipeline.slack import state
from agent.pipeline.slack.follow import follow
from agent.pipeline.slack.requested import request_report
from agent.pipeline.slack.text import code, said

HELP = """*What I understand*
`/watch status` every model in a line
`/watch why MODEL` the latest incident, its cause and its evidence
`/watch approvals` what waits for a decision
`/watch report MODEL 7d` a report of the last 7 days, into this channel
`/watch freeze REASON` stop every execution, now
`/watch unfreeze REASON` your word that they may start again
`/watch link CODE` tell me who you are (the code is in the console, or from `watchkeeper user link-code NAME`)
For anything else, mention me in a channel or write to me directly."""


def command(services: Services, asked: Asked, payload: dict[str, Any]) -> None:
    """Raises: Unavailable."""
    name, _, rest = str(payload.get("text") or "").strip().partition(" ")
    found = COMMANDS.get(name.lower().strip("`")) if name else _help
    who = who_is(services, asked)
    if who.refused:
        _say(services, who, who.refused)
        return
    if found is None:
        _say(services, who, f"I do not know {code(name, 60)}.\n{HELP}")
        return
    try:
        found(services, who, rest.strip())
    except (NotFound, InvalidInput, NotAllowed, Conflict) as error:
        _say(services, who, said(error, 1500))


def _help(services: Services, who: Who, rest: str) -> None:
    _say(services, who, HELP)


def _status(services: Services, who: Who, rest: str) -> None:
    with services.store.read() as session:
        document = state.status(services, session, who.sees)
    _show(services, who, document)


def _why(services: Services, who: Who, rest: str) -> None:
    model = _model(services, who, rest)
    with services.store.read() as session:
        document = state.why(services, session, model)
    _show(services, who, document)


def _approvals(services: Services, who: Who, rest: str) -> None:
    with services.store.read() as session:
        document = state.approvals(services, session, who.sees)
    _show(services, who, document)


def _report(services: Services, who: Who, rest: str) -> None:
    words = rest.split()
    model = _model(services, who, words[0] if words else "")
    length = words[1] if len(words) > 1 else "7d"
    request_report(services, model, length, who.asked.channel, key=who.asked.key, by=who.name)
    _say(services, who, f"The report of {code(model)} over {code(length, 20)} is on its way to this channel.")


def _freeze(services: Services, who: Who, rest: str) -> None:
    if said_no := who.why_not(Role.OPERATOR):
        _say(services, who, said_no)
        return
    with services.store.write() as session:
        switch.freeze(services, session, person=who.name, reason=_reason(rest, "freeze"))
    follow(services)
    _say(services, who, "🧊 Frozen: nothing is executed until it is lifted. `/watch unfreeze REASON` asks for that.")


def _unfreeze(services: Services, who: Who, rest: str) -> None:
    if said_no := who.why_not(Role.APPROVER):
        _say(services, who, said_no)
        return
    with services.store.write() as session:
        asked = switch.unfreeze(services, session, person=who.name, reason=rest)
        told = switch.next_step(asked)
    follow(services)
    _say(services, who, said(told, 1000))


def _link(services: Services, who: Who, rest: str) -> None:
    if not rest:
        raise InvalidInput("Type /watch link CODE, with the code of the console or of `watchkeeper user link-code`.")
    with services.store.write() as session:
        person = people.redeem_link_code(session, services, rest.strip("`"), "slack", who.asked.identity)
        name = person.name
    publish(services, Who(who.asked, person))
    _say(services, who, f"Now I know you: you are {said(name, 100)}.")


def _reason(rest: str, name: str) -> str:
    if not rest:
        raise InvalidInput(f"Type /watch {name} REASON: the reason is what everybody else will see.")
    return rest


def _model(services: Services, who: Who, name: str) -> str:
    """A model that they may see, by its name. Raises: InvalidInput, NotFound."""
    name = name.split()[0].strip("`") if name.split() else ""
    with services.store.read() as session:
        from agent.store import queries

        known = [one for one in queries.model_names(session) if who.sees(one)]
    if name in known:
        return name
    listed = ", ".join(known[:20]) or "none yet"
    raise (NotFound if name else InvalidInput)(
        f"There is no model {name!r}; the models are {listed}." if name else f"Which model? They are {listed}."
    )


def _say(services: Services, who: Who, text: str) -> None:
    privately(services, who.asked, text)


def _show(services: Services, who: Who, document: Mapping[str, Any]) -> None:
    privately(services, who.asked, document["text"], document["blocks"])


COMMANDS: Mapping[str, Callable[[Services, Who, str], None]] = {
    "status": _status,
    "why": _why,
    "approvals": _approvals,
    "report": _report,
    "freeze": _freeze,
    "unfreeze": _unfreeze,
    "link": _link,
    "help": _help,
}
