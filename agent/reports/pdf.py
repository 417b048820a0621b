"""A report as PDF, set by typst: tagged for screen readers, its pictures as vectors, the same bytes for the same facts.

The blocks go in as data, never as markup, so that no text from outside can be taken for an instruction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.domain.wording import visible
from agent.reports import fonts
from agent.reports.canvas import svg_of, writable
from agent.reports.document import (
    Badge,
    Block,
    Bullets,
    Card,
    Code,
    Document,
    Figure,
    Heading,
    Inline,
    Line,
    PageBreak,
    Pairs,
    Paragraph,
    Quiet,
    Strong,
    Table,
    Tiles,
    Todo,
    marks_of,
)
from agent.reports.language import say

TEMPLATE = Path(__file__).parent / "templates" / "report.typ"


def pdf(document: Document, *, at: datetime) -> bytes:
    """The file; its creation date is the facts' own `at`."""
    import typst

    data: dict[str, Any] = {
        "title": document.title, "over": document.over, "language": document.language,
        "badges": [_inline(part) for part in document.badges], "footer": document.footer, "note": "",
        "page": say("page"),
        "blocks": [_block(block) for block in document.blocks],
    }  # fmt: skip
    drawings = [figure.drawn for figure in document.figures()]
    foreign = fonts.foreign([*_texts(data), *(text for d in drawings for text in d.model_dump_json())])
    missing = fonts.unshown(foreign)
    if missing:
        data = _written(data, missing)
        shown = ", ".join(f"U+{ord(char):04X}" for char in sorted(missing)[:12])
        more = say(" and {n} more", n=len(missing) - 12) if len(missing) > 12 else ""
        data["note"] = say(
            "No font on this machine has these characters, so they are written as codes or sounds: {list}{more}. The "
            "HTML of this report shows them as they are.", list=shown, more=more,
        )  # fmt: skip
    faces = fonts.faces_for(foreign)
    data["fonts"] = [fonts.FAMILY, *(face.family for face in faces)]
    for number, block in enumerate(_figures(data["blocks"])):
        block["file"] = f"{number}.svg"
    files: dict[str, bytes] = {
        "main.typ": TEMPLATE.read_bytes(),
        "data.json": json.dumps(data, ensure_ascii=False).encode("utf-8", errors="backslashreplace"),
    }
    for number, drawn in enumerate(drawings):
        files[f"{number}.svg"] = _standing(svg_of(writable(drawn, missing))).encode()
    folders: list[str | Path] = [str(fonts.bundled()), *sorted({str(face.file.parent) for face in faces})]
    found = typst.compile(
        files,  # type: ignore[call-overload, unused-ignore]
        format="pdf",
        font_paths=folders,
        ignore_system_fonts=True,
        timestamp=int(at.timestamp()),
    )
    assert isinstance(found, bytes)
    return found


def _standing(svg: str) -> str:
    """The element with a size of its own and with the font that the page has, for a reader without our style sheet."""
    return svg.replace("<svg ", '<svg style="color: #1b1f24" ', 1)


def _inline(part: Inline) -> dict[str, str]:
    match part:
        case str():
            return {"kind": "plain", "text": visible(part, 4000)}
        case Strong():
            return {"kind": "strong", "text": visible(part.text, 4000)}
        case Quiet():
            return {"kind": "quiet", "text": visible(part.text, 4000)}
        case Code():
            return {"kind": "code", "text": visible(part.text, 4000)}
        case Badge():
            return {"kind": "badge", "text": visible(part.text, 200), "tone": part.tone}


def _line(line: Line) -> list[dict[str, str]]:
    return [_inline(part) for part in line]


def _table(table: Table) -> dict[str, Any]:
    return {
        "head": list(table.head),
        "rows": [[_line(cell) for cell in row] for row in table.rows],
        "right": list(table.right),
        "wide": list(table.wide),
    }


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Paragraph():
            return {"kind": "paragraph", "line": _line(block.line), "style": block.style}
        case Heading():
            badge = [_inline(block.badge)] if block.badge else []
            return {"kind": "heading", "text": visible(block.text, 400), "level": block.level, "badge": badge}
        case Bullets():
            return {"kind": "bullets", "items": [_line(item) for item in block.items]}
        case Todo():
            return {"kind": "todo", "title": block.title, "items": [_line(item) for item in block.items]}
        case Tiles():
            return {
                "kind": "tiles",
                "items": [{"label": t.label, "value": t.value, "note": t.note} for t in block.items],
            }
        case Pairs():
            return {"kind": "pairs", "items": [[name, _line(line)] for name, line in block.items]}
        case Table():
            return {"kind": "table", **_table(block)}
        case Figure():
            marks = [list(mark) for mark in marks_of(block)]
            return {"kind": "figure", "caption": block.caption, "alt": visible(block.drawn.alt, 4000), "marks": marks}
        case Card():
            return {"kind": "card", "blocks": [_block(inner) for inner in block.blocks]}
        case PageBreak():
            return {"kind": "page-break"}


def _figures(blocks: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        if block["kind"] == "figure":
            yield block
        elif block["kind"] == "card":
            yield from _figures(block["blocks"])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _written(value: Any, missing: frozenset[str]) -> Any:
    if isinstance(value, str):
        return fonts.written(value, missing)
    if isinstance(value, dict):
        return {key: _written(item, missing) for key, item in value.items()}
    return [_written(item, missing) for item in value] if isinstance(value, list) else value
