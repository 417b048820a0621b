"""Write agent/reports/locale/watchkeeper.pot: every text of reports that can be translated, read from the code.

python docs/messages.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPORTS = Path(__file__).resolve().parents[1] / "agent" / "reports"
OUT = REPORTS / "locale" / "watchkeeper.pot"
TABLES = ("TITLES", "PARAMETERS", "VERDICTS")
"""Texts that are chosen by a name and said later."""
HEADER = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"
"""


def messages() -> dict[tuple[str, ...], list[str]]:
    """Each text (with its plural, where it has one) and where it is said."""
    found: dict[tuple[str, ...], list[str]] = {}
    for file in sorted(REPORTS.glob("*.py")):
        for line, texts in _said(ast.parse(file.read_text(encoding="utf-8"))):
            found.setdefault(texts, []).append(f"{file.name}:{line}")
    return found


def _said(tree: ast.AST) -> Iterator[tuple[int, tuple[str, ...]]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="say" | "count" as name), args=arguments):
                texts = tuple(_texts(arguments[: 2 if name == "count" else 1]))
                if texts and texts[0]:
                    yield node.lineno, texts
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(values=values)) if name in TABLES:
                yield from ((node.lineno, (text,)) for text in _texts(values))


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def template(found: dict[tuple[str, ...], list[str]]) -> str:
    """The messages as gettext's tools read them."""
    parts = [HEADER]
    for texts, places in found.items():
        lines = [f"#: {' '.join(places)}", "#, python-brace-format", f"msgid {_quoted(texts[0])}"]
        if len(texts) > 1:
            lines += [f"msgid_plural {_quoted(texts[1])}", 'msgstr[0] ""', 'msgstr[1] ""']
        else:
            lines.append('msgstr ""')
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


if __name__ == "__main__":
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(template(messages()), encoding="utf-8")
    print(f"wrote {OUT.relative_to(REPORTS.parents[1])}")
