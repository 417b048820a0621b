"""`user`, `token` and `mcp`, which open doors, and `silence`. Like `agent.cli`, light to import."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.commands.options import Home, Json, Person, Reason, services_of, show

tokens = typer.Typer(help="What opens the API or the MCP server to a program.", no_args_is_help=True)
users = typer.Typer(help="Who may come in, in which role.", no_args_is_help=True)

silences = typer.Typer(help="Alerts that open no incident for a while.", no_args_is_help=True)

doctors = typer.Typer(help="Check the workspace, its messages, or Slack: cause and cure in a line each.")
devs = typer.Typer(help="What stands in for the outside, to try everything without it.", no_args_is_help=True)


@doctors.callback(invoke_without_command=True)
def doctor(context: typer.Context, home: Home = None, json: Json = False) -> None:
    """Check the workspace: cause and cure in a line each."""
    if context.invoked_subcommand is not None:
        return
    from agent.commands.health import diagnose_workspace, render_doctor

    result = diagnose_workspace(home)
    show(json, result, render_doctor)
    raise typer.Exit(result["exit_code"])


@doctors.command("slack")
def doctor_slack(home: Home = None, json: Json = False) -> None:
    """Check the connection to Slack: tokens, scopes, socket, channels."""
    from agent.commands.slack import examine, render

    result = examine(home)
    show(json, result, render)
    raise typer.Exit(result["exit_code"])


@doctors.command("messages")
def doctor_messages(home: Home = None, json: Json = False) -> None:
    """Check every way that messages take: the mail server, webhooks, Apprise, and what did not arrive."""
    from agent.commands.health import render_doctor
    from agent.commands.messages import examine

    result = examine(home)
    show(json, result, render_doctor)
    raise typer.Exit(result["exit_code"])


@devs.command("slack")
def dev_slack(
    port: Annotated[int, typer.Option(help="Port of the page and of the Web API, on 127.0.0.1.")] = 8090,
    http: Annotated[
        str, typer.Option(metavar="URL", help="Send signed HTTP to this address instead of using Socket Mode.")
    ] = "",
) -> None:
    """A Slack on this machine, with a page that shows channels, threads and App Home, and lets you click."""
    from agent.commands.dev import slack

    slack(port, http)


def mcp(
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP for holders of a token, not stdio.")] = False,
    port: Annotated[int | None, typer.Option(help="Another port than that of WATCHKEEPER_MCP_BIND.")] = None,
    person: Annotated[
        str | None, typer.Option("--as", help="Over stdio: in whose name it asks; default: your login name.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Over stdio: no tool that proposes.")] = False,
    home: Home = None,
) -> None:
    """The tools for another assistant (Model Context Protocol): it reads and proposes, and never decides."""
    from agent.commands.mcp import command

    command(home, http=http, port=port, person=person, read_only=read_only)


@tokens.command("create")
def token_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    propose: Annotated[bool, typer.Option("--propose", help="It may propose too, in its owner's name.")] = False,
    scope: Annotated[
        list[str] | None, typer.Option(help="read, propose, ingest, decide, admin; several times; default: read.")
    ] = None,
    door: Annotated[str, typer.Option("--for", metavar="DOOR", help="What it opens: mcp, or api.")] = "mcp",
    agent: Annotated[bool, typer.Option("--agent", help="A language model holds it: it never decides.")] = False,
    model: Annotated[list[str] | None, typer.Option(help="Only these models; a pattern; several times.")] = None,
    expires: Annotated[str, typer.Option(help="How long it lives, such as 90d; at most a year.")] = "90d",
    audience: Annotated[str, typer.Option(metavar="URL", help="The address it is for; default: the door's.")] = "",
    person: Person = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Make a token; its secret is shown this once."""
    from agent.commands.tokens import audience_of, create, render_created
    from agent.settings import load_settings

    item = create(
        services_of(home),
        name,
        person=person,
        scopes=[*(scope or ["read"]), *(["propose"] if propose else [])],
        models=model or [],
        audience=audience or audience_of(door, load_settings(home=home)),
        expires=expires,
        agent=agent,
    )
    show(json, item, render_created)


@tokens.command("list")
def token_list(home: Home = None, json: Json = False) -> None:
    """Every token: whose, for what, until when."""
    from agent.commands.tokens import every, render_every

    show(json, every(services_of(home)), render_every)


@tokens.command("revoke")
def token_revoke(
    token: Annotated[str, typer.Argument(metavar="ID")], person: Person = None, home: Home = None, json: Json = False
) -> None:
    """End a token now."""
    from agent.commands.tokens import render_revoked, revoke

    show(json, revoke(services_of(home), token, person=person), render_revoked)


@silences.command("list")
def silence_list(
    past: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """What is silenced, why, and until when."""
    from agent.commands.silence import list_silences, render_silences

    show(json, list_silences(services_of(home), past=past), render_silences)


@silences.command("end")
def silence_end(
    silence: Annotated[str, typer.Argument(metavar="ID")],
    reason: Reason,
    person: Person = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Let alerts open incidents again, before its time."""
    from agent.commands.silence import end_silence, render_ended

    show(json, end_silence(services_of(home), silence, person=person, reason=reason), render_ended)


Name = Annotated[str, typer.Argument(metavar="NAME")]
Models = Annotated[list[str] | None, typer.Option("--model", help="Only these models; a pattern; several times.")]


@users.command("add")
def user_add(
    name: Name,
    role: Annotated[str, typer.Option(help="viewer, operator, approver or admin.")] = "viewer",
    model: Models = None,
    person: Person = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Add a person, by the name that approvals.yaml has for them; prints the link by which they set a password."""
    from agent.commands.user import add, render_link

    show(json, add(services_of(home), name, role=role, models=model or [], by=person), render_link)


@users.command("list")
def user_list(home: Home = None, json: Json = False) -> None:
    """Everybody: role, models, how they sign in."""
    from agent.commands.user import every, render_every

    show(json, every(services_of(home)), render_every)


@users.command("change")
def user_change(
    name: Name,
    role: Annotated[str | None, typer.Option(help="viewer, operator, approver or admin.")] = None,
    model: Models = None,
    person: Person = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Another role, or other models (`--model '*'` for all)."""
    from agent.commands.user import change, render_changed

    show(json, change(services_of(home), name, role=role, models=model, by=person), render_changed)


@users.command("deactivate")
def user_deactivate(name: Name, person: Person = None, home: Home = None, json: Json = False) -> None:
    """Shut somebody out now: sessions, tokens and codes end with it."""
    from agent.commands.user import deactivate, render_changed

    show(json, deactivate(services_of(home), name, by=person), render_changed)


@users.command("activate")
def user_activate(name: Name, person: Person = None, home: Home = None, json: Json = False) -> None:
    """Let somebody in again."""
    from agent.commands.user import activate, render_changed

    show(json, activate(services_of(home), name, by=person), render_changed)


@users.command("password")
def user_password(name: Name, home: Home = None, json: Json = False) -> None:
    """Print a link by which this person sets a new password."""
    from agent.commands.user import password, render_link

    show(json, password(services_of(home), name), render_link)


@users.command("link-code")
def user_link_code(name: Name, home: Home = None, json: Json = False) -> None:
    """Print a code that binds one Slack account to this person."""
    from agent.commands.user import link_code, render_code

    show(json, link_code(services_of(home), name), render_code)
