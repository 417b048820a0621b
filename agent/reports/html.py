"""A report as one self-contained page: no script, no foreign resource, light and dark, paper and telephone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.wording import visible
from agent.reports.document import Document, Figure, marks_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def html(document: Document) -> str:
    """The page."""
    return _environment().get_template("report.html").render(document=document)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.globals.update(kind_of=_kind_of, svg=_svg, marks_of=marks_of)
    return environment


def _kind_of(thing: object) -> str:
    return type(thing).__name__


def _finalize(value: object) -> object:
    """Whatever text a template shows, it is seen as it is: nothing hidden, nothing turned around, nothing endless."""
    return visible(value, 4000) if type(value) is str else value


def _svg(figure: Figure) -> Markup:
    """The picture in two sizes, one of which the page shows. Our own drawing, whose text from outside is escaped."""
    from markupsafe import Markup

    from agent.reports.canvas import svg_of, themed

    wide, narrow = themed(svg_of(figure.drawn)), themed(svg_of(figure.drawn, narrow=True))
    return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')  # noqa: S704
