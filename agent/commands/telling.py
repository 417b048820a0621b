"""The commands `delivery` and `preferences`. Like `agent.cli`, light to import."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.commands.options import Home, Json, Person, services_of, show

deliveries = typer.Typer(help="Messages, and what became of them.", no_args_is_help=True)
preferences = typer.Typer(help="What people want to be told, where and when.", no_args_is_help=True)

Channel = Annotated[str | None, typer.Option(help="Only this channel: slack, mail, webhook, apprise, push, journal.")]


@deliveries.command("list")
def delivery_list(
    state: Annotated[str | None, typer.Option(help="Only waiting, delivered, failed, held or collapsed.")] = None,
    channel: Channel = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The latest so many.")] = 50,
    home: Home = None,
    json: Json = False,
) -> None:
    """Where each message went and what became of it, the newest first."""
    from agent.commands.delivery import list_deliveries, render_deliveries

    show(json, list_deliveries(services_of(home), state=state, channel=channel, limit=limit), render_deliveries)


@deliveries.command("retry")
def delivery_retry(
    delivery: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Everything that failed.")] = False,
    channel: Channel = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Send again what was refused or given up, once its cause is cured."""
    from agent.commands.delivery import render_retried, retry

    show(json, retry(services_of(home), delivery, failed=failed, channel=channel), render_retried)


@deliveries.command("test")
def delivery_test(
    channel: Annotated[str | None, typer.Argument(metavar="[CHANNEL]", help="slack, mail, webhook or apprise.")] = None,
    address: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="As `address` of a route; default: every route's.")
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Send one message now, to one address or to every address of notifications.yaml, and say how it went."""
    from agent.commands.trying import render_tested, send_test

    result = send_test(services_of(home), channel, address)
    show(json, result, render_tested)
    raise typer.Exit(result["exit_code"])


@preferences.command("show")
def preferences_show(
    person: Annotated[str | None, typer.Argument(metavar="[PERSON]", help="Default: everybody.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Who is told what, where and when."""
    from agent.commands.delivery import render_preferences, show_preferences

    show(json, show_preferences(services_of(home), person), render_preferences)


@preferences.command("set")
def preferences_set(
    mail: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Tell me by mail; an empty one ends it.")] = None,
    slack: Annotated[str | None, typer.Option(metavar="MEMBER", help="Tell me in Slack, by my id.")] = None,
    severity: Annotated[str | None, typer.Option(help="From info, warning or critical on.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only these models; a pattern; several times.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds, such as proposal; several times.")] = None,
    quiet: Annotated[
        str | None, typer.Option(help="Quiet hours, such as 22:00-07:00; an empty text ends them.")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone of the quiet hours, such as Europe/Berlin.")] = None,
    digest: Annotated[str | None, typer.Option(help="Collect for so long, such as 1h or 1d; 0: each at once.")] = None,
    person: Person = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Say what you want to be told; what is not given stays as it was."""
    from agent.commands.delivery import render_preferences, set_preferences

    channels = {name: value for name, value in (("mail", mail), ("slack", slack)) if value is not None}
    changes = {
        "channels": channels,
        "severity": severity,
        "models": tuple(model) if model else None,
        "kinds": tuple(kind) if kind else None,
        "quiet": quiet,
        "time_zone": zone,
        "digest": digest,
    }
    show(json, set_preferences(services_of(home), person, changes), render_preferences)
