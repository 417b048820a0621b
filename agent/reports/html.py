"""Facts as one self-contained page: no script, no foreign resource, light and dark, paper and telephone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain.wording import moment, names, shown, visible, words
from agent.reports.shape import Chart, IncidentFacts, PeriodFacts, Point
from agent.reports.talk import told
from agent.reports.timeline import noun

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def html(facts: IncidentFacts | PeriodFacts) -> str:
    """The page."""
    return _environment().get_template(f"{facts.kind}.html").render(facts=facts, svg=_svg)


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
    environment.filters.update(
        moment=moment, shown=shown, words=words, names=names, noun=noun, point=point, plain=plain, told=told
    )
    environment.globals.update(verdict_of=verdict_of)
    return environment


def _finalize(value: object) -> object:
    """Whatever text a template shows, it is seen as it is: nothing hidden, nothing turned around, nothing endless."""
    return visible(value, 2000) if type(value) is str else value


def _svg(chart: Chart) -> Markup:
    """The chart in two sizes, one of which the page shows. Our own drawing, whose only text from outside is escaped."""
    from markupsafe import Markup

    from agent.reports.canvas import svg_of, themed

    wide, narrow = themed(svg_of(chart)), themed(svg_of(chart, narrow=True))
    return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')  # noqa: S704


def point(value: Point | None) -> str:
    """A value with its interval.

    >>> point(Point(at=None, value=0.81, low=0.78, high=0.84))
    '0.81 (0.78 to 0.84)'
    """
    if value is None or value.value is None:
        return "no data"
    if value.low is None or value.high is None:
        return shown(value.value)
    return f"{shown(value.value)} ({shown(value.low)} to {shown(value.high)})"


def plain(value: Any) -> str:
    """One parameter as text: exact, not rounded, not abridged beyond what is visible."""
    if isinstance(value, Mapping):
        return "; ".join(f"{visible(key, 80)}: {plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    if value is None:
        return "none"
    text = str(value)
    try:
        return (
            moment(datetime.fromisoformat(text))
            if "T" in text and text.endswith(("Z", "+00:00"))
            else visible(text, 2000)
        )
    except ValueError:
        return visible(text, 2000)


def verdict_of(state: str) -> str:
    """The tone of a state, for its badge: good, bad, waits, neutral."""
    if state in ("resolved", "succeeded", "done", "ok"):
        return "good"
    if state in ("failed", "open", "diagnosed", "critical", "breach"):
        return "bad"
    if state in ("pending", "waiting", "inconclusive", "warning", "no data", "not looked at"):
        return "waits"
    return "neutral"
