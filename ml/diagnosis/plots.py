"""One picture for each kind of evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml.diagnosis.evidence import Fact, Kind
from ml.diagnosis.result import Diagnosis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLE = {
    Kind.VOLUME: "Rows",
    Kind.LABELS: "Labels",
    Kind.POWER: "Smallest rise that would be seen",
    Kind.QUALITY: "Share of rows with a break",
    Kind.DRIFT: "How far inputs moved",
    Kind.LOSS: "Rise of the mean loss",
    Kind.METRIC: "Headline metric",
    Kind.CALIBRATION: "Outcomes less probabilities",
    Kind.ATTRIBUTION: "Change of the relation",
    Kind.SLICE: "Rise of the loss in a slice",
    Kind.TRIAL: "Gain of each action, per row",
    Kind.REPLAY: "Served answers that are not the model's",
    Kind.ESTIMATE: "Estimated without labels",
}


def plot(diagnosis: Diagnosis, kind: Kind) -> Figure | None:
    """The facts of one kind as bars with their intervals; None where the diagnosis has no number of that kind."""
    from matplotlib.figure import Figure

    facts = [f for f in diagnosis.evidence if f.kind is kind and f.value is not None]
    if not facts:
        return None
    figure = Figure(figsize=(7, 0.9 + 0.45 * len(facts)), layout="constrained")
    axes = figure.subplots()
    for place, fact in enumerate(reversed(facts)):
        axes.barh(place, fact.value or 0.0, height=0.55, color="#4c78a8")
        if fact.interval is not None:
            axes.plot([fact.interval.low, fact.interval.high], [place, place], color="#222222", linewidth=1.5)
    axes.set_yticks(range(len(facts)), [_name(f) for f in reversed(facts)])
    axes.axvline(0, color="#888888", linewidth=0.8)
    axes.set_xlabel(next((f.unit for f in facts if f.unit), ""))
    axes.set_title(_TITLE.get(kind, kind.value), loc="left", fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def save_plots(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Every kind of evidence that the diagnosis has, as `KIND.svg` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in Kind:
        figure = plot(diagnosis, kind)
        if figure is not None:
            path = folder / f"{kind.value}.svg"
            figure.savefig(path)
            written.append(path)
    return written


def _name(fact: Fact) -> str:
    label = fact.feature or fact.source.rpartition(".")[2].replace("_", " ")
    return f"{fact.id}  {label}"
