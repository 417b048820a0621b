"""`/unsubscribe`: the page that a message's link opens, and the one-click POST of mail programs (RFC 8058).

Opening the page changes nothing: programs that look at links in mails open it too.
"""

from __future__ import annotations

from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from agent.doors.access import signed
from agent.doors.api.inputs import ServicesDep
from agent.pipeline.services import Services
from agent.pipeline.unsubscribe import PATH, read_token, subscribe, unsubscribe

router = APIRouter(include_in_schema=False)
LONGEST_TOKEN = 2_000
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Watchkeeper</title><link rel="stylesheet" href="/static/style.css"></head>
<body><main class="alone"><h1>{title}</h1><p>{said}</p>
<form method="post" action="{action}"><button type="submit">{button}</button></form></main></body></html>"""


@router.get(PATH, dependencies=[signed()])
def ask(services: ServicesDep, token: str = "") -> HTMLResponse:
    """What will be stopped, and a button."""
    channel, address = read_token(services.secret, token[:LONGEST_TOKEN])
    said = f"Watchkeeper will send nothing more by {escape(channel)} to {escape(address)}."
    return _page("Unsubscribe", said, _action(services, channel, address), "Unsubscribe")


@router.post(PATH, dependencies=[signed()])
def stop(services: ServicesDep, token: str = "", again: bool = False) -> HTMLResponse:
    """Stop it; or, from the page that says so, start it again."""
    channel, address = read_token(services.secret, token[:LONGEST_TOKEN])
    with services.store.write() as session:
        if again:
            subscribe(services, session, channel, address, actor=address)
        else:
            unsubscribe(services, session, channel, address)
    place = f"{escape(address)} ({escape(channel)})"
    action = _action(services, channel, address)
    if again:
        return _page("Subscribed again", f"Messages go to {place} as before.", action, "Unsubscribe")
    said = f"Nothing more is sent to {place}. Decisions still wait on the page and in Slack."
    return _page("Unsubscribed", said, f"{action}&again=true", "Subscribe again")


def _action(services: Services, channel: str, address: str) -> str:
    from agent.pipeline.unsubscribe import token_of

    return f"{PATH}?token={token_of(services.secret, channel, address)}"


def _page(title: str, said: str, action: str, button: str) -> HTMLResponse:
    """`said` is HTML already."""
    return HTMLResponse(PAGE.format(title=title, said=said, action=escape(action), button=button))
