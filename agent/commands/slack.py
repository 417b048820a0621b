"""`doctor slack`: each part of the connection to Slack, with cause and cure in a line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.output import console
from agent.domain.errors import InvalidInput, Unavailable, WatchkeeperError
from agent.doors.slack.scopes import NEEDED
from agent.pipeline.slack_app import SlackApp

if TYPE_CHECKING:
    from slack_sdk.web import SlackResponse

    from agent.pipeline.services import Services

PAGE = "https://api.slack.com/apps -> Watchkeeper"
CURES = {
    "not_authed": f"set SLACK_BOT_TOKEN to the token that starts with xoxb- ({PAGE} -> Install App)",
    "invalid_auth": f"the token is not one of this workspace: copy it again ({PAGE} -> Install App)",
    "account_inactive": "the app was removed from the workspace, or its installer left: install it again",
    "token_revoked": f"the token was revoked: install the app again ({PAGE} -> Install App), and set the new one",
    "not_allowed_token_type": "the tokens stand in each other's place: SLACK_BOT_TOKEN is xoxb-, SLACK_APP_TOKEN xapp-",
    "missing_scope": f"add the scope ({PAGE} -> OAuth & Permissions), then install the app again",
}
MOST_PAGES = 50


def examine(home: Path | None) -> dict[str, Any]:
    """Every part, one after the other. exit_code: 0 all is well, 2 something is set wrong, 3 Slack is out of reach."""
    from agent.commands.options import services_of

    services = services_of(home)
    slack = services.slack
    checks = [_check("token", lambda: _token(slack), "")]
    if checks[0]["ok"]:
        checks.append(_check("scopes", lambda: _scopes(slack), CURES["missing_scope"]))
    checks.append(_check("socket", lambda: _socket(slack), ""))
    checks.append(_check("signing", lambda: _signing(slack), ""))
    if checks[0]["ok"]:
        checks += [_check(f"channel {name}", partial(_member, slack, name), "") for name in channels_of(services)]
    codes = [check["exit_code"] for check in checks if not check["ok"]]
    return {"api": slack.api_url, "checks": checks, "exit_code": max(codes, default=0)}


def _check(name: str, probe: Callable[[], str], cure: str) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "says": probe(), "cure": "", "exit_code": 0}
    except WatchkeeperError as error:
        says, _, better = str(error).partition("; cure: ")
        code = 2 if isinstance(error, InvalidInput) else 3
        return {"name": name, "ok": False, "says": says, "cure": better or cure, "exit_code": code}


def _asked(call: Callable[..., SlackResponse], **arguments: Any) -> SlackResponse:
    """Slack's answer. Raises: InvalidInput for a refusal, Unavailable when Slack does not answer."""
    from slack_sdk.errors import SlackClientError

    try:
        return call(**arguments)
    except SlackClientError as error:
        answer: Any = getattr(error, "response", None) or {}
        name = str(answer.get("error", ""))
        if not name or name in ("ratelimited", "internal_error", "fatal_error", "service_unavailable"):
            raise Unavailable(f"Slack does not answer ({name or error}); cure: try again in a minute") from None
        cure = CURES.get(name, f"see https://docs.slack.dev/reference/methods for {name!r}")
        needed = f" ({answer.get('needed')})" if name == "missing_scope" else ""
        raise InvalidInput(f"Slack says {name}{needed}; cure: {cure}") from None
    except OSError as error:
        address = "see SLACK_API_URL, your proxy and your line"
        raise Unavailable(f"Slack cannot be reached ({error}); cure: {address}") from None


def _token(slack: SlackApp) -> str:
    if not slack.bot_token:
        raise InvalidInput(f"SLACK_BOT_TOKEN is not set; cure: {CURES['not_authed']}")
    if not slack.bot_token.startswith("xoxb-"):
        raise InvalidInput(f"SLACK_BOT_TOKEN does not start with xoxb-; cure: {CURES['not_authed']}")
    found = _asked(slack.client().auth_test)
    return f"{found['user']} in {found['team']} ({found['team_id']})"


def _scopes(slack: SlackApp) -> str:
    headers = {name.lower(): value for name, value in _asked(slack.client().auth_test).headers.items()}
    granted = {scope.strip() for scope in str(headers.get("x-oauth-scopes", "")).split(",")}
    missing = sorted(NEEDED - granted)
    if missing:
        raise InvalidInput(f"missing {', '.join(missing)}")
    more = sorted(granted - NEEDED - {""})
    return f"all {len(NEEDED)}" + (f"; more than needed: {', '.join(more)}" if more else "")


def _socket(slack: SlackApp) -> str:
    if not slack.app_token:
        if slack.signing_secret:
            return "not used: HTTP is set up"
        raise InvalidInput(
            "SLACK_APP_TOKEN is not set, so nothing comes in; cure: make one with connections:write "
            f"({PAGE} -> Basic Information -> App-Level Tokens), or set SLACK_SIGNING_SECRET for HTTP"
        )
    if not slack.app_token.startswith("xapp-"):
        raise InvalidInput(
            "SLACK_APP_TOKEN does not start with xapp-; cure: take the app-level token "
            f"({PAGE} -> Basic Information -> App-Level Tokens)"
        )
    try:
        _asked(slack.client().apps_connections_open, app_token=slack.app_token)
    except InvalidInput as error:
        says = str(error).partition("; cure: ")[0]
        raise InvalidInput(
            f"{says}; cure: make an app-level token with connections:write ({PAGE} -> Basic Information), and turn "
            "Socket Mode on"
        ) from None
    return "Socket Mode opens"


def _signing(slack: SlackApp) -> str:
    if slack.signing_secret:
        if len(slack.signing_secret) < 16:
            raise InvalidInput(
                f"SLACK_SIGNING_SECRET is too short to be one; cure: copy it ({PAGE} -> Basic Information)"
            )
        return "set: /slack/events takes what is signed with it"
    if slack.app_token:
        return "not set, and not needed with Socket Mode"
    raise InvalidInput(f"SLACK_SIGNING_SECRET is not set; cure: copy it ({PAGE} -> Basic Information), for HTTP only")


def channels_of(services: Services) -> list[str]:
    """The channels that models name as their owners'."""
    from agent.store import queries

    with services.store.read() as session:
        specs = [queries.spec_of(session, name) for name in queries.model_names(session)]
    owners = {owner for spec in specs for owner in (spec.owner, spec.data_owner) if owner}
    return sorted(owner for owner in owners if owner.startswith("#"))


def _member(slack: SlackApp, name: str) -> str:
    wanted, cursor = name.removeprefix("#"), ""
    for _ in range(MOST_PAGES):
        answer = _asked(
            slack.client().conversations_list,
            types="public_channel,private_channel",
            exclude_archived=True,
            limit=200,
            **({"cursor": cursor} if cursor else {}),
        )
        for channel in answer["channels"]:
            if channel["name"] == wanted:
                if channel["is_member"]:
                    return "Watchkeeper is in it"
                raise InvalidInput(f"Watchkeeper is not in {name}; cure: write /invite @Watchkeeper there")
        cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor:
            break
    raise InvalidInput(
        f"there is no channel {name} that Watchkeeper can see; cure: make it, or correct `owner` in the spec, and "
        "/invite @Watchkeeper there if it is private"
    )


def render(item: dict[str, Any]) -> None:
    for check in item["checks"]:
        mark = "[green]ok[/]  " if check["ok"] else "[red]bad[/] "
        console.print(mark, end="")
        console.print(f"{check['name']:<10} {check['says']}", markup=False)
        if not check["ok"]:
            console.print(f"               cure: {check['cure']}", markup=False)
