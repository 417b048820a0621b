"""The prompts: Markdown files beside this module, with `$names` to be filled in."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from string import Template

FOLDER = Path(__file__).parent / "prompts"


@lru_cache(maxsize=16)
def _template(name: str) -> Template:
    return Template((FOLDER / f"{name}.md").read_text(encoding="utf-8"))


def prompt(name: str, **values: str) -> str:
    """A prompt with its values; every name must be given."""
    return _template(name).substitute(values).strip()
