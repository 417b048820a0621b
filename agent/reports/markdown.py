"""A report as Markdown, for a chat, a ticket or a repository; outside text forms no link, heading or mention."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from agent.domain.wording import visible
from agent.reports.charts import sparkline
from agent.reports.document import (
    Badge,
    Block,
    Bullets,
    Card,
    Code,
    Document,
    Figure,
    Heading,
    Line,
    PageBreak,
    Pairs,
    Paragraph,
    Strong,
    Table,
    Tiles,
    Todo,
    marks_of,
)
from agent.reports.pictured import Chart

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_LEADING = re.compile(r"^(\s*\d*)([-+=#.)])(?=\s|[-=#]|$)")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")


def escape(text: object, longest: int = 2000) -> str:
    """Text that Markdown shows as it is: no markup, no link, no mention, no HTML, one line.

    >>> print(escape("<b>[x](http://y)</b> *now*: 5 @all"), escape("1. x"), escape("1.5"))
    \\<b\\>\\[x\\](http\\://y)\\</b\\> \\*now\\*: 5 ＠all 1\\. x 1.5
    """
    flat = _SPECIAL.sub(r"\\\1", _MENTION.sub("＠", visible(text, longest)))
    return _LEADING.sub(r"\1\\\2", flat)


def markdown(document: Document) -> str:
    """The report."""
    badges = f" · {_line(document.badges)}" if document.badges else ""
    lines = [f"# {escape(document.title)}", "", f"{escape(document.over)}{badges}", ""]
    lines += _blocks(document.blocks)
    return "\n".join([*lines, f"*{escape(document.footer)}*"]).rstrip() + "\n"


def _blocks(blocks: Iterable[Block]) -> list[str]:
    return [line for block in blocks for line in _block(block)]


def _block(block: Block) -> list[str]:
    match block:
        case Paragraph():
            return [_line(block.line), ""]
        case Heading():
            badge = f": {escape(block.badge.text)}" if block.badge else ""
            return [f"{'#' * block.level} {escape(block.text)}{badge}", ""]
        case Bullets():
            return [*(f"- {_line(item)}" for item in block.items), ""]
        case Todo():
            return [f"## {escape(block.title)}", "", *(f"- {_line(item)}" for item in block.items), ""]
        case Tiles():
            return _table(["", ""], [[t.label, f"{t.value}{f' ({t.note})' if t.note else ''}"] for t in block.items])
        case Pairs():
            return [*(f"- {escape(name)}: {_line(line)}" for name, line in block.items), ""]
        case Table():
            return _rows(block)
        case Figure():
            return _figure(block)
        case Card():
            return _blocks(block.blocks)
        case PageBreak():
            return []


def _figure(figure: Figure) -> list[str]:
    bars = f" {sparkline(figure.drawn)}" if isinstance(figure.drawn, Chart) else ""
    marks = [f"- **{key}** {escape(label)}, {at}" for key, label, at in marks_of(figure)]
    out = [f"{escape(figure.caption)}{bars}", ""]
    out += _rows(figure.table) if figure.table is not None else []
    return out + ([*marks, ""] if marks else [])


def _line(line: Line) -> str:
    out = []
    for part in line:
        match part:
            case str():
                out.append(escape(part, 4000) if not part.isspace() else part)
            case Strong() | Badge():
                out.append(f"**{escape(part.text)}**")
            case Code():
                out.append(f"`{visible(part.text).replace('`', chr(39))}`")
            case _:
                out.append(escape(part.text))
    return _spaced(line, out)


def _spaced(line: Line, parts: Sequence[str]) -> str:
    """A badge stands apart from the word before it."""
    text = ""
    for part, shown in zip(line, parts, strict=True):
        text += f" {shown}" if isinstance(part, Badge) and text and not text.endswith(" ") else shown
    return text.strip()


def _rows(table: Table) -> list[str]:
    return _lined(list(table.head), [[_line(cell) for cell in row] for row in table.rows])


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    return _lined(head, [[escape(cell) for cell in row] for row in rows])


def _lined(head: list[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(escape(cell) for cell in head)} |", f"|{' --- |' * len(head)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]
