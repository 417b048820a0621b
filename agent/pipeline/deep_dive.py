"""Evidently's page about a window, made on demand: in a process of its own, bounded in rows and time, one at a time.

A finished page lies in the workspace under `deep-dives/`; the newest `KEPT` are kept. Nothing is decided by it.
"""

from __future__ import annotations

import json
import multiprocessing
import secrets
import threading
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.errors import Conflict, InvalidInput, NotFound, Unavailable, WatchkeeperError
from agent.pipeline.reference import reference_of
from agent.pipeline.services import Services
from agent.store import queries
from ml.results import Window
from ml.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 5_000
MOST_SECONDS = 180.0
KEPT = 20
FOLDER = "deep-dives"
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class DeepDive:
    """One page. state: running, done or failed; `text` says what it rests on, or why there is none."""

    id: str
    model: str
    state: str
    asked_at: str
    window_start: str
    window_end: str
    text: str = ""
    version: str = ""


def start(services: Services, spec: ModelSpec, at: datetime) -> DeepDive:
    """Begin one about the latest look's window; one that is there is given back.

    Raises: Conflict while another is made, NotFound without a look.
    """
    with services.store.read() as session:
        run = queries.latest_run(session, spec.name)
        if run is None:
            raise NotFound(f"{spec.name!r} has not been looked at yet; there is no window to show.")
        window = Window(run.window_start, run.window_end)
        there = (run.champion or "", window.start.isoformat(), window.end.isoformat())
        for made in of_model(services, spec.name):
            if made.state != "failed" and (made.version, made.window_start, made.window_end) == there:
                return made
        if not _one_at_a_time.acquire(blocking=False):
            raise Conflict("Another deep dive is being made in this process; ask again in a minute.")
        try:
            reference = reference_of(services, session, spec, run.champion, window.end).frame
            current = services.log.read(spec, window, most=MOST_ROWS)
        except WatchkeeperError:
            _one_at_a_time.release()
            raise
    folder = services.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    dive = DeepDive(
        f"e-{secrets.token_hex(6)}",
        spec.name,
        "running",
        at.isoformat(),
        window.start.isoformat(),
        window.end.isoformat(),
        version=run.champion or "",
    )
    _note(folder, dive)
    work = (folder, dive, spec, reference, current)
    threading.Thread(target=_watched, args=work, name="deep-dive", daemon=True).start()
    return dive


def of_model(services: Services, model: str) -> list[DeepDive]:
    """Those that there are, the newest first. One that ran when its process ended is failed."""
    found = [read(path) for path in (services.home / FOLDER).glob("e-*.json")]
    mine = [dive for dive in found if dive is not None and dive.model == model]
    return sorted(mine, key=lambda dive: dive.asked_at, reverse=True)


def page_of(services: Services, model: str, wanted: str) -> Path:
    """The file of a finished one. Raises: NotFound."""
    known = {dive.id: dive for dive in of_model(services, model)}
    path = services.home / FOLDER / f"{wanted}.html"
    if wanted not in known or not path.is_file():
        raise NotFound(f"There is no deep dive {wanted[:40]!r} of {model!r}; ask for one on the model's page.")
    return path


def read(path: Path) -> DeepDive | None:
    """What is noted of one; None where the note cannot be read."""
    try:
        dive = DeepDive(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if dive.state == "running" and not _one_at_a_time.locked():
        return DeepDive(**{**asdict(dive), "state": "failed", "text": "It was cut short; ask for it again."})
    return dive


def _watched(folder: Path, dive: DeepDive, spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame) -> None:
    """Wait for the process, end it when it is too slow, and note how it went."""
    try:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        path = folder / f"{dive.id}.html"
        process = context.Process(target=_make, args=(theirs, spec, reference, current, path), daemon=True)
        process.start()
        theirs.close()
        state, text = "failed", f"It took longer than {MOST_SECONDS:.0f} s and was ended."
        try:
            if ours.poll(MOST_SECONDS):
                state, text = ours.recv()
        except (EOFError, OSError):
            text = "The process that made it ended before it was done."
        if process.is_alive():
            process.join(5 if state == "done" else 0)
            process.kill()
        process.join()
        _note(folder, DeepDive(**{**asdict(dive), "state": state, "text": text}))
        _forget(folder)
    finally:
        _one_at_a_time.release()


def _make(line: object, spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame, path: Path) -> None:
    from ml.evidently_report import deep_dive

    try:
        made = deep_dive(spec, reference, current, path, sample=MOST_ROWS)
    except (InvalidInput, Unavailable) as error:
        line.send(("failed", str(error)))  # type: ignore[attr-defined]
        return
    left = "; ".join(f"{name}: {why}" for name, why in list(made.left_out.items())[:8])
    text = f"{made.rows[0]} rows of the reference, {made.rows[1]} of the window" + (
        f". Left out: {left}" if left else ""
    )
    line.send(("done", text))  # type: ignore[attr-defined]


def _note(folder: Path, dive: DeepDive) -> None:
    part = folder / f"{dive.id}.part"
    part.write_text(json.dumps(asdict(dive)), encoding="utf-8")
    part.replace(folder / f"{dive.id}.json")


def _forget(folder: Path) -> None:
    notes = sorted(folder.glob("e-*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for note in notes[KEPT:]:
        note.with_suffix(".html").unlink(missing_ok=True)
        note.unlink(missing_ok=True)
