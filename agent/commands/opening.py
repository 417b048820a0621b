"""`mcp` and `token`, which open a door to programs, and `silence`. Like `agent.cli`, light to import."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.commands.options import Home, Json, Person, Reason, services_of, show

tokens = typer.Typer(help="What opens the MCP server to a program.", no_args_is_help=True)

silences = typer.Typer(help="Alerts that open no incident for a while.", no_args_is_help=True)


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
    model: Annotated[list[str] | None, typer.Option(help="Only these models; a pattern; several times.")] = None,
    expires: Annotated[str, typer.Option(help="How long it lives, such as 90d; at most a year.")] = "90d",
    audience: Annotated[str, typer.Option(metavar="URL", help="The address it is for; default: this MCP server.")] = "",
    person: Person = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Make a token; its secret is shown this once."""
    from agent.commands.tokens import create, render_created
    from agent.settings import load_settings

    item = create(
        services_of(home),
        name,
        person=person,
        propose=propose,
        models=model or [],
        audience=audience or load_settings(home=home).mcp_url,
        expires=expires,
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
