"""One picture for each kind of evidence; its title is the finding. `Diagnosis.plot` and `plots` in a notebook."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.diagnosis import drawing
from ml.diagnosis.evidence import Fact, Kind
from ml.errors import InvalidInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ml.diagnosis.result import Diagnosis

WIDTH = 8.0
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": drawing.EDGE,
    "text.parse_math": False,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "watchkeeper",
    "timezone": "UTC",
}
_HEIGHT: dict[Kind, Callable[[Any], float]] = {
    Kind.QUALITY: lambda found: 0.6 + 2.3 * len(found),
    Kind.DRIFT: lambda found: 0.6 + 2.5 * -(-len(found) // 2),
    Kind.CALIBRATION: lambda _: 4.6,
    Kind.ESTIMATE: lambda _: 2.2,
    Kind.ATTRIBUTION: lambda found: 1.6 + 0.35 * max(3, len(found["shares"])),
    Kind.SLICE: lambda found: 1.2 + 0.55 * len(found),
    Kind.TRIAL: lambda found: 1.2 + 0.6 * len(found),
}
_DRAW: dict[Kind, Callable[[Figure, Any], None]] = {
    Kind.QUALITY: drawing.quality,
    Kind.DRIFT: drawing.drift,
    Kind.LOSS: drawing.loss,
    Kind.CALIBRATION: drawing.calibration,
    Kind.ESTIMATE: drawing.estimate,
    Kind.ATTRIBUTION: drawing.attribution,
    Kind.SLICE: drawing.slices,
}


def plot(diagnosis: Diagnosis, kind: Kind | str) -> Figure | None:
    """The evidence of one kind; None where the diagnosis has none that can be drawn.

    The figure shows itself in a notebook and is saved by `figure.savefig("loss.png")`.
    Raises: InvalidInput for a kind that does not exist.
    """
    import matplotlib as mpl

    if kind not in set(Kind):
        raise InvalidInput(f"{kind!r} is no kind of evidence; the kinds are {', '.join(Kind)}.")
    kind = Kind(kind)
    facts = [fact for fact in diagnosis.evidence if fact.kind is kind]
    found = diagnosis.pictures.get(kind.value)
    plain = [_plain(fact) for fact in facts if fact.value is not None]
    if not found and not plain:
        return None
    with mpl.rc_context(_STYLE):
        if not found:
            figure = _figure(1.1 + 0.45 * len(plain))
            drawing.bars(figure, plain, next((fact.unit for fact in facts if fact.unit), ""))
        else:
            figure = _figure(_HEIGHT.get(kind, lambda _: 3.2)(found))
            if kind is Kind.TRIAL:
                drawing.trial(figure, found, diagnosis.action.kind.value)
            else:
                _DRAW[kind](figure, found)
        figure.suptitle(_title(facts), x=0.01, ha="left", fontsize=10, color=drawing.INK)
        figure.canvas.draw()
    return figure


def plots(diagnosis: Diagnosis) -> dict[str, Figure]:
    """Every picture that the diagnosis has, by kind of evidence."""
    drawn = ((kind.value, plot(diagnosis, kind)) for kind in Kind)
    return {name: figure for name, figure in drawn if figure is not None}


def save_plots(diagnosis: Diagnosis, folder: Path, form: str = "svg") -> list[Path]:
    """Every picture as `KIND.svg` (or `png`, `pdf`) in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in plots(diagnosis).items():
        written.append(folder / f"{name}.{form}")
        figure.savefig(written[-1], dpi=150)
    return written


@cache
def _kind_of_figure() -> type[Figure]:
    """A figure that a notebook shows without pyplot, which keeps state for the whole process."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            out = io.BytesIO()
            FigureCanvasAgg(self).print_png(out)  # type: ignore[no-untyped-call]
            return out.getvalue()

    return Picture


def _figure(height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _kind_of_figure()(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _title(facts: list[Fact]) -> str:
    """The findings, numbered as in the evidence; three at most."""
    lines = [textwrap.fill(f"{fact.id}  {fact.statement}", 110, subsequent_indent="      ") for fact in facts[:3]]
    more = [f"and {len(facts) - 3} more"] if len(facts) > 3 else []
    return "\n".join([*lines, *more])


def _plain(fact: Fact) -> dict[str, Any]:
    name = fact.feature or fact.source.rpartition(".")[2].replace("_", " ")
    interval = None if fact.interval is None else [fact.interval.low, fact.interval.high]
    return {"name": f"{fact.id}  {name}", "value": fact.value, "interval": interval}
