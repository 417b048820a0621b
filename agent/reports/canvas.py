"""Drawings as SVG and PNG in one house style, deterministic to the byte; no global state of matplotlib is touched."""

from __future__ import annotations

import io
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agent.reports import fonts
from agent.reports.draw import ALARM, BAND, GRID, INK, LINE, MUTED
from agent.reports.pictured import Bars, Chart, Drawn, HeatMap, Importance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", LINE: "--line", BAND: "--band", ALARM: "--alarm"}
WIDE, NARROW = (7.6, 3.1), (4.3, 3.2)
DPI = 144
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "watchkeeper",
    "text.parse_math": False,
    "font.family": [fonts.FAMILY],
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "timezone": "UTC",
}


def svg_of(drawn: Drawn, *, narrow: bool = False) -> str:
    """The drawing as an `<svg>` element with its own colours, sized by its surroundings; `alt` is its title.

    The page and the PDF of one report show the same pictures: the last few are remembered.
    """
    return _svg_of(type(drawn), drawn.model_dump_json(), narrow)


def forget() -> None:
    """Draw every picture anew from here on."""
    _svg_of.cache_clear()


@lru_cache(maxsize=48)
def _svg_of(kind: type[Drawn], document: str, narrow: bool) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    drawn = kind.model_validate_json(document)
    with mpl.rc_context({**_STYLE, "svg.hashsalt": f"watchkeeper-{type(drawn).__name__}-{narrow}"}):
        figure = _figure(drawn, narrow)
        figure.set_facecolor("none")
        for axes in figure.axes:
            axes.set_facecolor("none")
        out = io.StringIO()
        canvas: Any = FigureCanvasSVG(figure)  # by itself: `savefig` draws everything twice, first to lay it out
        canvas.print_svg(out, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _embeddable(out.getvalue(), drawn.alt)


def png_of(drawn: Drawn) -> bytes:
    """The drawing as a PNG on white, about 1,100 pixels wide, for where no SVG is shown."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    characters = fonts.foreign(_texts(drawn))
    drawn = writable(drawn, fonts.unshown(characters))
    faces = fonts.faces_for(characters)
    _register(faces)
    families = [fonts.FAMILY, *(face.family for face in faces)]
    with mpl.rc_context({**_STYLE, "font.family": families}):
        figure = _figure(drawn, narrow=False)
        FigureCanvasAgg(figure)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return out.getvalue()


def themed(svg: str) -> str:
    """The same picture in the page's colours (light or dark), with the print colours as fallback."""
    for colour, name in VARIABLES.items():
        svg = svg.replace(colour, f"var({name}, {colour})")
    return svg


def _figure(drawn: Drawn, narrow: bool) -> Figure:
    from matplotlib.figure import Figure

    from agent.reports import charts, draw

    if isinstance(drawn, Chart):
        figure = Figure(figsize=NARROW if narrow else WIDE, layout="constrained")
        charts.metric_over_time(figure.add_subplot(), drawn, narrow)
        return figure
    figure = Figure(figsize=draw.size_of(drawn, narrow=narrow), layout="constrained")
    axes = figure.add_subplot()
    match drawn:
        case HeatMap():
            draw.heat_map(axes, drawn, narrow=narrow)
        case Bars():
            draw.bars(axes, drawn)
        case Importance():
            draw.importance(axes, drawn)
    return figure


def _texts(drawn: Drawn) -> list[str]:
    match drawn:
        case Chart():
            return [drawn.metric]
        case HeatMap():
            return drawn.rows
        case Bars():
            return [text for bar in drawn.bars for text in (bar.name, bar.note)]
        case Importance():
            return drawn.features


def writable(drawn: Drawn, missing: frozenset[str]) -> Drawn:
    """The same drawing with names that can be shown."""
    if not missing:
        return drawn

    def fit(text: str) -> str:
        return fonts.written(text, missing)

    match drawn:
        case Chart():
            return drawn.model_copy(update={"metric": fit(drawn.metric)})
        case HeatMap():
            return drawn.model_copy(update={"rows": [fit(row) for row in drawn.rows]})
        case Bars():
            bars = [bar.model_copy(update={"name": fit(bar.name), "note": fit(bar.note)}) for bar in drawn.bars]
            return drawn.model_copy(update={"bars": bars})
        case Importance():
            return drawn.model_copy(update={"features": [fit(name) for name in drawn.features]})


def _register(faces: tuple[fonts.Face, ...]) -> None:
    from matplotlib import font_manager

    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for face in faces:
        if str(face.file) not in known:
            font_manager.fontManager.addfont(str(face.file))


def _embeddable(svg: str, alt: str) -> str:
    """Only the element itself: no prolog, no metadata, no fixed size; its words in a title."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<svg[^>]*viewBox=\"([^\"]+)\"[^>]*>", rf'<svg viewBox="\1" role="img" {_NAMES}>', svg, count=1)
    svg = svg.replace("*{stroke", ".chart *{stroke")
    title = alt.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return svg.replace(">", f' class="chart"><title>{title}</title>', 1).strip()


_NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
