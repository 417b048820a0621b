"""What commands share: their options, the services they open, and how they answer."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.pipeline.services import Services

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Home = Annotated[
    Path | None, typer.Option(help="The workspace; default: WATCHKEEPER_HOME, else the folder you are in.")
]
Person = Annotated[str | None, typer.Option("--as", help="Who you are in approvals.yaml; default: your login name.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the decision.")]

opened = ExitStack()
"""What the command that runs has opened; closed when it ends, however it ends."""


def services_of(home: Path | None) -> Services:
    """The services of a workspace, until the command ends."""
    from agent.bootstrap import build
    from agent.settings import load_settings

    services = build(load_settings(home=home))
    opened.callback(services.store.close)
    return services


def show(as_json: bool, data: Any, render: Callable[[Any], None]) -> None:
    """Answer a program with one JSON document, a person with text."""
    from agent.commands.output import print_json

    if as_json:
        print_json(data)
    else:
        render(data)
