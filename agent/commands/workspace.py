"""`init`, `model add`, `ingest`: from an empty folder to a model under watch."""

from __future__ import annotations

import getpass
import hashlib
from datetime import datetime, timedelta
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from agent.commands.output import console, when
from agent.domain.errors import DataError, InvalidInput, Unavailable
from agent.pipeline.code_version import code_version
from agent.pipeline.services import Services
from agent.settings import FILE
from agent.store import audit, queries
from agent.store.tables import Deployment, Model
from ml.spec import ModelSpec, load_spec

TEMPLATES = package_files("agent.commands") / "templates"
LAYOUT = (FILE, "approvals.yaml", "notifications.yaml", "models/example.yaml", "runbooks/drift.md", "trainer.py")


def me() -> str:
    """The login name, as approvals.yaml would have it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "me"


def init_workspace(folder: Path, *, person: str | None = None) -> dict[str, Any]:
    """Make a workspace in `folder`; files that are there are left alone.

    Raises: InvalidInput when it is one already, Unavailable when nothing can be written there.
    """
    from agent.bootstrap import build
    from agent.settings import load_settings

    folder = folder.expanduser()
    if (folder / FILE).exists():
        raise InvalidInput(f"{folder} is a workspace already; go on with `watchkeeper model add SPEC.yaml` in it.")
    written = []
    try:
        for name in LAYOUT:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                text = (TEMPLATES / name).read_text(encoding="utf-8")
                target.write_text(text.replace("{{person}}", person or me()), encoding="utf-8")
                written.append(name)
    except OSError as error:
        raise Unavailable(f"{folder}: cannot be written ({error.strerror}); choose another folder.") from None
    build(load_settings({}, home=folder), migrate=True).store.close()
    return {"home": folder.resolve(), "written": written}


def render_init(made: dict[str, Any]) -> None:
    console.print(f"A workspace in [bold]{made['home']}[/]: {', '.join(made['written'])}.")
    console.print("Next:")
    console.print(f"  cd {made['home']}")
    console.print("  watchkeeper model add models/example.yaml    (after changing it to your model's columns)")
    console.print("  watchkeeper ingest NAME predictions.csv      (then --labels for labels)")
    console.print("  watchkeeper watch")


def add_model(services: Services, spec_file: Path, train: Path | None = None) -> dict[str, Any]:
    """Register a spec, or replace the one of that name; with `train`, a first version made from labelled rows."""
    spec = load_spec(spec_file)
    trained = _train(services, spec, train) if train is not None else None
    with services.store.write() as session:
        known = session.get(Model, spec.name)
        text = spec_file.read_text(encoding="utf-8")
        if known is None:
            session.add(Model(name=spec.name, spec=text, registered_at=services.now()))
        else:
            known.spec = text
        audit.append(
            session,
            at=services.now(),
            actor=me(),
            event="model added" if known is None else "model spec replaced",
            subject=spec.name,
            data={"spec_sha256": hashlib.sha256(text.encode()).hexdigest()},
        )
    version = _first_version(services, spec, trained, train) if trained is not None and train is not None else None
    return {
        "model": spec.name,
        "replaced": known is not None,
        "features": len(spec.features),
        "metric": spec.metric,
        "champion": version,
    }


def _train(services: Services, spec: ModelSpec, source: Path) -> str:
    """Train a version on a file, before anything is registered. The same file twice is the same version."""
    from ml.data.tables import read_table
    from ml.models import training

    rows = read_table(source, spec, role="training")
    content = hashlib.sha256(source.read_bytes()).hexdigest()
    candidate = training.train(
        spec,
        rows,
        registry=services.registry,
        data_version=f"sha256:{content}",
        code_version=code_version(services.home),
        run_tag=f"train:{content[:16]}",
    )
    return candidate.version


def _first_version(services: Services, spec: ModelSpec, version: str, source: Path) -> str:
    """Make a trained version champion."""
    from ml.models import deployment

    champion = services.registry.champion(spec.name)
    switched = deployment.promote(
        services.registry, spec.name, version, expected=champion.version if champion else None
    )
    if switched.changed:
        record_deployment(
            services,
            spec.name,
            version,
            kind="first" if champion is None else "promote",
            note=f"trained on {source.name}",
        )
    return version


def record_deployment(services: Services, model: str, version: str, *, kind: str, note: str) -> None:
    """Write a switch of version that a person made to the ledger and the audit."""
    with services.store.write() as session:
        session.add(Deployment(model=model, version=version, kind=kind, at=services.now(), note=note))
        audit.append(
            session,
            at=services.now(),
            actor=me(),
            event="deployment",
            subject=model,
            data={"version": version, "kind": kind, "note": note},
        )


def render_added(added: dict[str, Any]) -> None:
    verb = "Replaced the spec of" if added["replaced"] else "Added"
    console.print(f"{verb} [bold]{added['model']}[/]: {added['features']} features, judged by {added['metric']}.")
    if added["champion"]:
        console.print(f"Version {added['champion']} is trained and champion.")
    console.print(f"Next: watchkeeper ingest {added['model']} FILE")


def ingest_files(services: Services, model: str, files: list[Path], *, labels: bool) -> dict[str, Any]:
    """Append files to the log. All are read and checked before the first is written."""
    from ml.data.tables import read_table

    with services.store.read() as session:
        spec = queries.spec_of(session, model)
    frames = [(file, read_table(file, spec, role="labels" if labels else "predictions")) for file in files]
    if labels:
        _require_some_known(services, spec, frames)
    results = []
    for file, frame in frames:
        batch = f"file:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        if labels:
            done = services.log.append_labels(spec, frame, batch_id=batch, as_of=services.now())
        else:
            done = services.log.append_predictions(spec, frame, batch_id=batch)
        results.append(
            {
                "file": file,
                "rows": done.rows,
                "duplicates": done.duplicates,
                "labels": done.labels,
                "unknown": done.unknown,
                "first_unknown": done.first_unknown,
                "known_from": _known_from(frame, services.now()) if labels else None,
                "from": frame["timestamp"].min() if "timestamp" in frame and len(frame) else None,
                "to": frame["timestamp"].max() + timedelta(microseconds=1)
                if "timestamp" in frame and len(frame)
                else None,
            }
        )
    return {"model": model, "kind": "labels" if labels else "predictions", "files": results}


def _require_some_known(services: Services, spec: ModelSpec, frames: list[tuple[Path, Any]]) -> None:
    """A few labels may come before their predictions; a file of nothing but strangers is a wrong file or column."""
    for file, frame in frames:
        if not services.log.known(spec, frame["prediction_id"]):
            raise DataError(
                f"{file}: none of its {len(frame)} labels is for a prediction of {spec.name!r} "
                f"(first: {frame['prediction_id'].iloc[0]!r}); ingest the predictions first, or correct prediction_id."
            )


def _known_from(frame: Any, now: datetime) -> datetime | None:
    """Since when the labels count as known, where the file does not say: now."""
    dated = "label_timestamp" in frame and frame["label_timestamp"].notna().all()
    return None if dated else now


def render_ingested(result: dict[str, Any]) -> None:
    for item in result["files"]:
        said = f"{item['file']}: {item['rows']} {result['kind']} added"
        if item["labels"] and result["kind"] == "predictions":
            said += f", {item['labels']} with labels"
        if item["duplicates"]:
            said += f", {item['duplicates']} were there already"
        if item["unknown"]:
            first = item["first_unknown"]
            said += f"; {item['unknown']} are for predictions not seen yet (first: {first}), kept until they come"
        console.print(said + ".", markup=False)
    if since := next((item["known_from"] for item in result["files"] if item["known_from"] is not None), None):
        console.print(
            f"They count as known from {when(since)} UTC, and a look at an earlier time (`watch --at`) does not see "
            "them; to load a past, give a column label_timestamp."
        )
    last = max((item["to"] for item in result["files"] if item["to"] is not None), default=None)
    if last is not None:
        console.print(f"Next: watchkeeper watch {result['model']} --at {last:%Y-%m-%dT%H:%M}")
