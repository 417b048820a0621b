"""The commands of those who decide: the queue, a decision, the policy, the kill switch, the record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.commands.options import Home, Json, Person, Reason, services_of, show

proposals = typer.Typer(help="The queue of proposed actions.", no_args_is_help=True)
policies = typer.Typer(help="Who may decide what.", no_args_is_help=True)
audits = typer.Typer(help="The record of every decision and change.", no_args_is_help=True)


@proposals.command("list")
def proposal_list(
    every: Annotated[bool, typer.Option("--all", help="Also those that are decided.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """What waits for a decision."""
    from agent.commands.queue import list_proposals, render_proposals

    show(json, list_proposals(services_of(home), every=every), render_proposals)


@proposals.command("show")
def proposalshow(proposal: str, home: Home = None, json: Json = False) -> None:
    """One proposal: exactly what will run, why, and what the trial showed."""
    from agent.commands.queue import render_proposal, show_proposal

    show(json, show_proposal(services_of(home), proposal), render_proposal)


def approve(
    proposal: Annotated[str, typer.Argument(metavar="ID")],
    reason: Reason = "",
    person: Person = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Approve a proposal; it is carried out once."""
    from agent.commands.queue import decide, render_decision

    show(json, decide(services_of(home), proposal, "approve", person=person, reason=reason), render_decision)


def reject(
    proposal: Annotated[str, typer.Argument(metavar="ID")],
    reason: Reason,
    person: Person = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Reject a proposal; it never runs."""
    from agent.commands.queue import decide, render_decision

    show(json, decide(services_of(home), proposal, "reject", person=person, reason=reason), render_decision)


def cancel(
    proposal: Annotated[str, typer.Argument(metavar="ID")],
    reason: Reason,
    person: Person = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Take back what was approved, or end it while it trains."""
    from agent.commands.cancel import command, render

    show(json, command(services_of(home), proposal, person=person, reason=reason), render)


def withdraw(
    proposal: Annotated[str, typer.Argument(metavar="ID")],
    reason: Reason,
    person: Person = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Take back a proposal that waits for a decision."""
    from agent.commands.queue import decide, render_decision

    show(json, decide(services_of(home), proposal, "withdraw", person=person, reason=reason), render_decision)


@policies.command("explain")
def policy_explain(
    proposal: str,
    person: Annotated[
        str | None, typer.Option("--as", help="Only this person: why they may decide, or why not.")
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Who may decide on a proposal, how many are still needed, and why."""
    from agent.commands.policy import explain_policy, render_policy

    show(json, explain_policy(services_of(home), proposal, person), render_policy)


def freeze(reason: Reason, person: Person = None, home: Home = None, json: Json = False) -> None:
    """The kill switch: no execution starts anywhere."""
    from agent.commands.queue import render_frozen, set_frozen

    show(json, set_frozen(services_of(home), True, person=person, reason=reason), render_frozen)


def unfreeze(reason: Reason = "", person: Person = None, home: Home = None, json: Json = False) -> None:
    """Ask that executions start again; it takes two people."""
    from agent.commands.queue import render_frozen, set_frozen

    show(json, set_frozen(services_of(home), False, person=person, reason=reason), render_frozen)


@audits.command("verify")
def audit_verify(
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An export made before: it must still be contained, unchanged.")
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Walk the audit's chain; find any edit, deletion, reorder or cut."""
    from agent.commands.health import render_audit, verify_audit

    result = verify_audit(services_of(home), against)
    show(json, result, render_audit)
    raise typer.Exit(0 if result["whole"] else 1)


@audits.command("export")
def audit_export(file: Annotated[Path, typer.Argument(metavar="FILE")], home: Home = None, json: Json = False) -> None:
    """Every event as a line of JSON, to be kept elsewhere."""
    from agent.commands.health import export_audit, render_exported

    show(json, export_audit(services_of(home), file), render_exported)
