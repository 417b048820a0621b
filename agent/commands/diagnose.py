"""`watchkeeper diagnose`: one diagnosis on files, nothing stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.output import console, print_json, table, when

if TYPE_CHECKING:
    import pandas as pd

    from ml.diagnosis import Diagnosis
    from ml.models.recipes import FittedModel
    from ml.spec import ModelSpec

_STYLE = {"ok": "green", "drift_harmless": "cyan", "incident": "red"}


def command(
    *,
    spec: Path,
    reference: Path,
    current: Path,
    history: Path | None = None,
    deployments: Path | None = None,
    model: str | None = None,
    previous_model: str | None = None,
    plots: Path | None = None,
    as_json: bool = False,
) -> int:
    """Diagnose, print, and draw where asked. 0 whenever a diagnosis was made: bad news is not a failure."""
    diagnosis = diagnose_files(spec, reference, current, history, deployments, model, previous_model)
    if plots is not None:
        from ml.diagnosis.plots import save_plots

        save_plots(diagnosis, plots)
    if as_json:
        print_json(diagnosis.to_json())
    else:
        render(diagnosis)
    return 0


def diagnose_files(
    spec_path: Path,
    reference: Path,
    current: Path,
    history: Path | None = None,
    deployments: Path | None = None,
    model: str | None = None,
    previous_model: str | None = None,
) -> Diagnosis:
    """The diagnosis of tables on disk.

    Raises: SpecError, DataError, NotFound or InvalidInput naming the file, the rule and the next step.
    """
    from ml.data.tables import read_table
    from ml.diagnosis import diagnose
    from ml.spec import load_spec

    spec = load_spec(spec_path)
    healthy = read_table(reference, spec, role="reference")
    rows = read_table(current, spec, role="current")
    past = None if history is None else read_table(history, spec, role="history")
    ledger = None if deployments is None else _deployments(deployments)
    serving = None if model is None else _load(model, spec)
    before = None if previous_model is None else _load(previous_model, spec)
    latest, prior = _versions(rows, healthy, past)
    if serving is not None and latest:
        serving = serving.with_version(latest)
    if before is not None and prior:
        before = before.with_version(prior)
    return diagnose(spec, healthy, rows, history=past, deployments=ledger, model=serving, previous_model=before)


def _deployments(path: Path) -> pd.DataFrame:
    import pandas as pd

    from ml.errors import DataError

    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={"version": str})
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give a table with timestamp, version, kind, note.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a table ({str(error).splitlines()[0][:120]}).") from None
    for column in ("timestamp", "version"):
        if column not in frame:
            raise DataError(
                f"{path}: column {column!r} is missing; a table of deployments has timestamp, version, kind, note."
            )
    return frame


def _load(address: str, spec: ModelSpec) -> FittedModel:
    """A model from a folder (also `file://`), or from the registry of MLFLOW_TRACKING_URI (`models:/name/3`)."""
    from ml.errors import InvalidInput
    from ml.models.registry import Registry, load_directory

    if not address.startswith("models:/"):
        return load_directory(Path(address.removeprefix("file://")), spec)
    from agent.settings import load_settings

    name, separator, version = address.removeprefix("models:/").replace("@", "/@").rpartition("/")
    if not separator or not name or not version:
        raise InvalidInput(f"{address!r} names no model; write models:/NAME/VERSION, models:/NAME@ALIAS, or a folder.")
    registry = Registry(load_settings().mlflow_uri)
    if version.startswith("@"):
        found = registry.alias(name, version[1:])
        if found is None:
            raise InvalidInput(f"{name!r} has no alias {version[1:]!r} in the registry; give a version.")
        version = found
    return registry.load(name, version, spec)


def _versions(current: pd.DataFrame, *earlier: pd.DataFrame | None) -> tuple[str, str]:
    """The version that answers now, and the one before it, as the rows name them; empty where they do not say."""
    import pandas as pd

    frames = [f[["timestamp", "model_version"]] for f in (*earlier, current) if f is not None]
    rows = pd.concat(frames).sort_values("timestamp", kind="stable")
    names = [str(v) for v in rows["model_version"].dropna() if str(v)]
    latest = next((str(v) for v in reversed(current["model_version"].dropna().tolist()) if str(v)), "")
    return latest, next((v for v in reversed(names) if v != latest), "")


def render(diagnosis: Diagnosis) -> None:
    """The diagnosis for a person: verdict, action, causes, evidence, what was not checked."""
    from ml.diagnosis.causes import MEANING

    style = _STYLE[diagnosis.verdict.value]
    lead = diagnosis.cause
    console.print(f"[bold]{diagnosis.model}[/]  [{style}]{diagnosis.verdict.value.replace('_', ' ')}[/]")
    console.print(f"{lead.cause.value.replace('_', ' ')} ({lead.probability:.0%}): {MEANING[lead.cause]}", markup=False)
    since = [f"since {when(lead.onset)} UTC"] if lead.onset else []
    since += [f"in {', '.join(lead.features)}"] if lead.features else []
    since += [f"where {lead.segment}"] if lead.segment else []
    if since:
        console.print("  " + ", ".join(since), markup=False)
    action = diagnosis.action
    console.print(
        f"\n[bold]Do:[/] {action.kind.value.replace('_', ' ')}{' (ask a person first)' if action.escalate else ''}"
    )
    console.print(f"  {action.why}", markup=False)
    for key, value in action.to_json()["parameters"].items():
        if value not in (None, "", []):
            console.print(f"  {key}: {value}", markup=False)
    if len(diagnosis.causes) > 1:
        others = table("also possible", "probability", "for", "against", title="")
        for cause in diagnosis.causes[1:]:
            others.add_row(
                cause.cause.value, f"{cause.probability:.0%}", " ".join(cause.supports), " ".join(cause.contradicts)
            )
        console.print(others)
    facts = table("", "evidence", "n", title="")
    for fact in diagnosis.evidence:
        facts.add_row(fact.id, fact.statement.replace("[", "\\["), str(fact.n))
    console.print(facts)
    if diagnosis.not_checked:
        console.print("\n[bold]Not checked[/]")
        for item in diagnosis.not_checked:
            console.print(f"  {item.what}: {item.why}", markup=False)
