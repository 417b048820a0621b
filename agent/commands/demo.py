"""`demo`: prepare a workspace, play the stories, print what happened; or leave one decision to you and serve it."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from agent.commands.output import console, errors, number, print_json, styled, table
from agent.domain.errors import InvalidInput
from agent.pipeline.services import Services
from agent.store import queries

MARK = ".demo"
"""A file that says: this workspace was made by the demo, so the demo may make it anew."""


def command(*, headless: bool, port: int, home: Path | None, as_json: bool) -> None:
    """Play everything (`headless`), or everything but one decision, and serve the page."""
    started = time.perf_counter()
    folder = _folder(home)
    if headless:
        document = {
            "seconds": 0.0,
            "scenarios": play_all(prepare(folder), say=lambda text: errors.print(text, style="dim")),
        }
        document["seconds"] = round(time.perf_counter() - started, 2)
        document["peak_memory_mb"] = round(_peak_memory())
        document["home"] = str(folder)
        print_json(document) if as_json else render(document)
        return
    from agent.demo.live import serve_demo

    serve_demo(prepare(folder), port=port, started=started)


def _folder(home: Path | None) -> Path:
    from agent.settings import named_home

    return (home or named_home() or Path(".watchkeeper/demo")).expanduser().resolve()


def prepare(folder: Path) -> Services:
    """A fresh workspace with a replayed clock; you may decide in it, and so may the scripted approver.

    Raises: InvalidInput when the folder, or the database that the environment names, holds something else.
    """
    from agent.bootstrap import build
    from agent.commands.workspace import init_workspace, me
    from agent.demo.replay import APPROVER
    from agent.settings import load_settings

    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise InvalidInput(f"{folder} is not empty and not a demo; give an empty folder with --home.")
        shutil.rmtree(folder)
    init_workspace(folder, person=APPROVER)
    (folder / MARK).touch()
    (folder / "models" / "example.yaml").unlink()
    approvals = folder / "approvals.yaml"
    if me() != APPROVER:
        you = f'people:\n  {me()}: {{roles: [approver], models: ["*"]}}\n'
        approvals.write_text(approvals.read_text(encoding="utf-8").replace("people:\n", you), encoding="utf-8")
    services = build(load_settings(home=folder), migrate=True)
    with services.store.read() as session:
        if queries.specs(session):
            raise InvalidInput(f"{services.store.describe()} has models already; the demo wants an empty one.")
    return services


def play_all(services: Services, say: Any) -> list[dict[str, Any]]:
    """Every story to its end; one entry for each scenario."""
    from agent.demo import stories
    from agent.demo.outcome import outcome
    from agent.demo.replay import begin, play

    found = []
    for story in (stories.rain(), stories.bikes(), stories.hearts()):
        stage = begin(services, story, say)
        play(stage)
        found += [outcome(stage, chapter) for chapter in story.chapters if chapter.name]
    return found


def _peak_memory() -> float:
    """Peak resident memory of this process, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def render(document: dict[str, Any]) -> None:
    """The scenarios, one a line: what was found, what was done, and what it was worth."""
    rows = table("scenario", "what was found", "what was done", "metric", "before", "during", "after", "if nothing")
    for item in document["scenarios"]:
        incident, proposal, metric = item["incident"] or {}, item["proposal"] or {}, item["metric"]
        done = f"{proposal['action']} {styled(proposal['state'])}" if proposal else "nothing proposed"
        rows.add_row(
            item["name"],
            (incident.get("cause") or "-").replace("_", " "),
            done,
            metric["name"],
            *(number(metric[key]) for key in ("before", "during", "after", "do_nothing")),
        )
    console.print(rows, soft_wrap=False)
    seconds, memory = document["seconds"], document["peak_memory_mb"]
    console.print(f"{seconds:.0f} s, {memory} MB at the peak. The workspace: {document['home']}")
