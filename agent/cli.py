"""The command line. Every command imports what it needs when it runs, so that `--help` is quick.

Exit codes: 0 done, 1 the answer is "no", 2 the input or the configuration is wrong, 3 something needed is down.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.commands import deciding, opening, telling
from agent.commands.options import Home, Json, Person, opened, services_of, show

app = typer.Typer(
    name="watchkeeper",
    help="An on-call engineer for machine-learning models: watches, diagnoses, proposes one action, and carries it out "
    "once a person has approved it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models = typer.Typer(help="Add a model, list them, look at one.", no_args_is_help=True)
incidents = typer.Typer(help="What went wrong, and what came of it.", no_args_is_help=True)
databases = typer.Typer(help="The database's tables.", no_args_is_help=True)
for name, group in {
    "model": models,
    "incident": incidents,
    "proposal": deciding.proposals,
    "policy": deciding.policies,
    "audit": deciding.audits,
    "token": opening.tokens,
    "user": opening.users,
    "silence": opening.silences,
    "delivery": telling.deliveries,
    "preferences": telling.preferences,
    "db": databases,
}.items():
    app.add_typer(group, name=name)


@app.callback()
def _close_at_the_end(context: typer.Context) -> None:
    context.call_on_close(opened.close)


@app.command()
def demo(
    headless: Annotated[bool, typer.Option(help="Play it with a scripted approver and print what happened.")] = False,
    port: Annotated[int, typer.Option(help="Port of the page, on 127.0.0.1.")] = 8000,
    home: Home = None,
    json: Json = False,
) -> None:
    """The whole loop on real data with a replayed clock. No key, no Docker."""
    from agent.commands.demo import command

    command(headless=headless, port=port, home=home, as_json=json)


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="DIR")], json: Json = False) -> None:
    """Make a workspace: settings, an example spec, approvals, runbooks, an example trainer."""
    from agent.commands.workspace import init_workspace, render_init

    show(json, init_workspace(folder), render_init)


@models.command("add")
def model_add(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml")],
    train: Annotated[
        Path | None, typer.Option(help="Labelled rows: train a first version on them and make it champion.")
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Register a model, or replace its spec."""
    from agent.commands.workspace import add_model, render_added

    show(json, add_model(services_of(home), spec, train), render_added)


@models.command("list")
def model_list(home: Home = None, json: Json = False) -> None:
    """Every model with its state."""
    from agent.commands.look import list_models, render_models

    show(json, list_models(services_of(home)), render_models)


@models.command("show")
def modelshow(name: str, home: Home = None, json: Json = False) -> None:
    """One model: versions, latest measurements, incidents."""
    from agent.commands.look import render_model, show_model

    show(json, show_model(services_of(home), name), render_model)


@app.command()
def ingest(
    model: str,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    labels: Annotated[
        bool, typer.Option("--labels", help="The files have labels for predictions made before.")
    ] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Predictions or labels from CSV, Parquet or JSON lines. The same file twice is the same as once."""
    from agent.commands.workspace import ingest_files, render_ingested

    show(json, ingest_files(services_of(home), model, files, labels=labels), render_ingested)


@app.command()
def watch(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="The end of the window, in UTC; default: now.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Run the monitors once; diagnose and propose where something is wrong."""
    from agent.commands.watch import render_turns, take_turns

    show(json, take_turns(services_of(home), model, at), render_turns)


@app.command()
def diagnose(
    spec: Annotated[Path, typer.Option(help="The model's spec; features and target are enough.")],
    reference: Annotated[Path, typer.Option(help="Healthy rows (CSV, Parquet or JSON lines).")],
    current: Annotated[Path, typer.Option(help="The rows to be diagnosed.")],
    history: Annotated[Path | None, typer.Option(help="Earlier healthy rows.")] = None,
    deployments: Annotated[Path | None, typer.Option(help="Columns timestamp, version, kind, note.")] = None,
    model: Annotated[str | None, typer.Option(help="MLflow model that answers now (URI or folder).")] = None,
    previous_model: Annotated[str | None, typer.Option(help="MLflow model that answered before.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for a plot of each kind of evidence.")] = None,
    json: Json = False,
) -> None:
    """Diagnose files: nothing is stored, no workspace is needed."""
    from agent.commands.diagnose import command

    raise typer.Exit(
        command(
            spec=spec,
            reference=reference,
            current=current,
            history=history,
            deployments=deployments,
            model=model,
            previous_model=previous_model,
            plots=plots,
            as_json=json,
        )
    )


@incidents.command("list")
def incident_list(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not resolved.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """The latest incidents."""
    from agent.commands.look import list_incidents, render_incidents

    show(json, list_incidents(services_of(home), open_only=open_only), render_incidents)


@incidents.command("show")
def incidentshow(incident: str, home: Home = None, json: Json = False) -> None:
    """One incident: what was seen, why, what was decided, did it help."""
    from agent.commands.look import render_incident, show_incident

    show(json, show_incident(services_of(home), incident), render_incident)


for verb in (deciding.approve, deciding.reject, deciding.cancel, deciding.withdraw, deciding.freeze, deciding.unfreeze):
    app.command()(verb)


@app.command()
def ask(question: str, person: Person = None, home: Home = None, json: Json = False) -> None:
    """One question in plain language: what is wrong, why, what is waiting."""
    from agent.commands.ask import command

    command(services_of(home), question, person, as_json=json)


@app.command()
def chat(
    conversation: Annotated[
        str | None, typer.Option("--continue", metavar="ID", help="Go on with an earlier one.")
    ] = None,
    person: Person = None,
    home: Home = None,
) -> None:
    """Talk with it: answers as they are written, and what they rest on. /help inside."""
    from agent.commands.chat import command

    command(services_of(home), person, conversation)


@app.command()
def report(
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    incident: Annotated[str | None, typer.Option(help="The report of one incident.")] = None,
    period: Annotated[str, typer.Option(help="How far back, such as 7d; default: as the kind says.")] = "",
    kind: Annotated[str, typer.Option(help="period, daily, weekly, monthly, comparison or card.")] = "",
    compare: Annotated[bool, typer.Option("--compare", help="Beside the time of the same length before it.")] = False,
    version: Annotated[str | None, typer.Option(help="Of a model card; default: the champion.")] = None,
    formats: Annotated[str, typer.Option("--format", help="Any of html, pdf, md, json; with commas.")] = "html,md",
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path(),
    home: Home = None,
    json: Json = False,
) -> None:
    """Write a report: of a period, beside the one before, of one incident, or a model card."""
    from agent.commands.report import command, render_written

    written = command(
        services_of(home), model=model, incident=incident, period=period, formats=formats.split(","), out=out,
        kind=kind or ("comparison" if compare else ""), version=version,
    )  # fmt: skip
    show(json, written, render_written)


@app.command()
def serve(home: Home = None) -> None:
    """Everything in one process: API, page, watch, executor."""
    from agent.commands.serve import command

    command(home, api=True, worker=True)


@app.command()
def api(home: Home = None) -> None:
    """Only the API and the page."""
    from agent.commands.serve import command

    command(home, api=True, worker=False)


@app.command()
def worker(home: Home = None) -> None:
    """Only the watch and the executor."""
    from agent.commands.serve import command

    command(home, api=False, worker=True)


@app.command("serve-model")
def serve_model(
    port: Annotated[int | None, typer.Option(help="Another port than that of WATCHKEEPER_SERVE_BIND.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that answer, on one port.")] = 1,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be given several times.")] = None,
    memory: Annotated[int, typer.Option(metavar="MB", help="What the loaded models may take in each process.")] = 512,
    journal: Annotated[
        int, typer.Option(metavar="MB", help="What answers may take on disk until they are logged.")
    ] = 4096,
    when_full: Annotated[
        str, typer.Option(metavar="WHAT", help="When that is full: refuse requests, or answer without logging.")
    ] = "refuse",
    fsync: Annotated[
        bool, typer.Option("--fsync", help="Answers survive a power cut; each waits for the disk.")
    ] = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load models that may run code while they load. Only your own.")
    ] = False,
    home: Home = None,
) -> None:
    """Answer predictions: MLflow's scoring protocol and Open Inference v2; follows the registry, logs every answer."""
    from agent.commands.serve_model import command

    command(
        home,
        port=port,
        workers=workers,
        models=tuple(model or ()),
        memory=memory,
        journal=journal,
        when_full=when_full,
        fsync=fsync,
        allow_pickle=allow_pickle,
    )


app.command()(opening.mcp)


app.add_typer(opening.doctors, name="doctor")
app.add_typer(opening.devs, name="dev")


@databases.command("upgrade")
def db_upgrade(home: Home = None, json: Json = False) -> None:
    """Bring the database to this program's tables."""
    from agent.commands.health import render_upgraded, upgrade_database

    show(json, upgrade_database(home), render_upgraded)


@app.command()
def backup(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Default: a name with the time.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """The whole workspace as one file, taken while it runs: database, models, prediction log, settings."""
    from agent.commands.backup import back_up, render_backup

    made = back_up(home, file)
    show(json, made, render_backup)
    raise typer.Exit(0 if made["audit"]["whole"] else 1)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` has written.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    json: Json = False,
) -> None:
    """A workspace from a backup. What was approved and not over waits, frozen, until people have looked."""
    from agent.commands.restore import render_restored, restore

    made = restore(file, folder)
    show(json, made, render_restored)
    raise typer.Exit(0 if made["audit"]["whole"] else 1)


def main() -> None:
    """Run the command line; errors become one sentence and an exit code, never a traceback."""
    try:
        code = app(standalone_mode=False)
    except Exception as error:  # noqa: BLE001 (the outermost edge: no traceback reaches a person)
        from agent.commands.output import report_error

        sys.exit(report_error(error, as_json="--json" in sys.argv))
    sys.exit(code if isinstance(code, int) else 0)
