"""A report as blocks, in reading order: composed once from its facts, then set as HTML, PDF or Markdown alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent.reports.pictured import Chart, Drawn


@dataclass(frozen=True, slots=True)
class Strong:
    text: str


@dataclass(frozen=True, slots=True)
class Quiet:
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    text: str


@dataclass(frozen=True, slots=True)
class Badge:
    """A state; its tone is good, bad, waits or neutral, and never the only thing that tells it."""

    text: str
    tone: str = "neutral"


Inline = str | Strong | Quiet | Code | Badge
Line = tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    line: Line
    style: Literal["", "lead", "muted"] = ""


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: Literal[2, 3] = 2
    badge: Badge | None = None


@dataclass(frozen=True, slots=True)
class Bullets:
    items: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Todo:
    """What a person has to do: a box that is seen first."""

    title: str
    items: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tiles:
    """Figures to be seen at a glance."""

    items: Sequence[Tile]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names and what they are."""

    items: Sequence[tuple[str, Line]]


@dataclass(frozen=True, slots=True)
class Table:
    """`wide`: the columns that take the room; `right`: those of numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[Line]]
    right: Sequence[int] = ()
    wide: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing, its caption and what its letters mean. `table`: the same numbers for where there is no picture."""

    drawn: Drawn
    caption: str
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """Blocks that belong together."""

    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class PageBreak:
    """On paper, what follows begins on a new page."""


Block = Paragraph | Heading | Bullets | Todo | Tiles | Pairs | Table | Figure | Card | PageBreak


@dataclass(frozen=True, slots=True)
class Document:
    """`over`: what stands small above the title. `badges` are beneath it."""

    title: str
    over: str
    badges: Line
    blocks: Sequence[Block]
    footer: str
    language: str = field(default="en")

    def figures(self) -> Iterator[Figure]:
        """Every picture, in order."""
        yield from _figures(self.blocks)


def _figures(blocks: Sequence[Block]) -> Iterator[Figure]:
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Card):
            yield from _figures(block.blocks)


def marks_of(figure: Figure) -> list[tuple[str, str, str]]:
    """Key, meaning and time of each letter on a chart over time."""
    from agent.domain.wording import moment

    return [(m.key, m.label, moment(m.at)) for m in figure.drawn.marks] if isinstance(figure.drawn, Chart) else []
