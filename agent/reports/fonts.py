"""Which fonts a picture or a PDF is set in, and what is written where none has a character.

DejaVu Sans comes with matplotlib and is the same on every machine: Latin, Greek, Cyrillic, Hebrew, Arabic, and more.
Other scripts (Chinese, Japanese, Korean …) need a font of the system, such as Debian's `fonts-noto-cjk`; where there is
none, a character is written as its code or its sound and the page says so: never an empty box.
"""

from __future__ import annotations

import importlib.util
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FAMILY = "DejaVu Sans"
PREFERRED = ("Noto Sans CJK", "Noto Sans", "Source Han", "WenQuanYi", "Droid Sans Fallback", "Noto")
FOLDERS = (
    Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("/Library/Fonts"), Path("/System/Library/Fonts"),
    Path("C:/Windows/Fonts"),
)  # fmt: skip
SOUNDS = ("HANGUL SYLLABLE ", "HIRAGANA LETTER ", "KATAKANA LETTER ")


@dataclass(frozen=True, slots=True)
class Face:
    """One font file of this machine: its family and what it can show."""

    family: str
    file: Path
    characters: frozenset[int]


@cache
def bundled() -> Path:
    """The folder of the fonts that come with matplotlib, which is not imported for it."""
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None, "matplotlib is one of our dependencies"
    assert spec.submodule_search_locations, "matplotlib is a package"
    return Path(next(iter(spec.submodule_search_locations))) / "mpl-data" / "fonts" / "ttf"


@cache
def own_characters() -> frozenset[int]:
    """What DejaVu Sans can show in both of its weights."""
    plain = _characters(bundled() / "DejaVuSans.ttf")
    return plain & _characters(bundled() / "DejaVuSans-Bold.ttf")


def foreign(texts: Iterable[str]) -> frozenset[str]:
    """The characters of these texts that the bundled font has not."""
    known = own_characters()
    return frozenset(char for text in texts for char in text if ord(char) not in known and char not in "\n\r\t")


@cache
def faces_for(characters: frozenset[str]) -> tuple[Face, ...]:
    """Fonts of the system that show some of these characters, the fewest that will do; () where there is none."""
    wanted, chosen = {ord(char) for char in characters}, []
    for face in _system() if wanted else ():
        if covered := wanted & face.characters:
            chosen.append(face)
            wanted -= covered
        if not wanted:
            break
    return tuple(chosen)


def written(text: str, missing: frozenset[str]) -> str:
    """`text` with what no font shows written out: a Korean or Japanese syllable by its sound, others by their code.

    >>> written("a温b", frozenset("温")), written("강도", frozenset("강도"))
    ('a[U+6E29]b', '[gang do]')
    """
    if not missing or not any(char in missing for char in text):
        return text
    out, run = [], list[str]()
    for char in text:
        if char in missing:
            run.append(_spelled(char))
            continue
        out += [f"[{' '.join(run)}]"] if run else []
        out.append(char)
        run.clear()
    return "".join(out + ([f"[{' '.join(run)}]"] if run else []))


def unshown(characters: frozenset[str]) -> frozenset[str]:
    """Those that no font here shows."""
    shown = {code for face in faces_for(characters) for code in face.characters}
    return frozenset(char for char in characters if ord(char) not in shown)


def _spelled(char: str) -> str:
    name = unicodedata.name(char, "")
    for sound in SOUNDS:
        if name.startswith(sound):
            return name.removeprefix(sound).removeprefix("SMALL ").lower()
    return f"U+{ord(char):04X}"


@cache
def _system() -> tuple[Face, ...]:
    """The fonts of this machine in a fixed order, the likeliest first."""
    home = Path(os.path.expanduser("~"))
    folders = (*FOLDERS, home / ".fonts", home / ".local/share/fonts", home / "Library/Fonts")
    files = sorted({p for folder in folders if folder.is_dir() for p in folder.rglob("*") if _regular(p)})
    faces = [face for file in files if (face := _face(file)) is not None]
    return tuple(sorted(faces, key=lambda face: (_rank(face.family), face.family, str(face.file))))


def _regular(path: Path) -> bool:
    name = path.stem.lower()
    odd = ("bold", "italic", "oblique", "light", "thin", "black", "mono", "serif", "emoji")
    return path.suffix.lower() in (".ttf", ".otf", ".ttc") and not any(word in name for word in odd)


def _rank(family: str) -> int:
    return next((i for i, name in enumerate(PREFERRED) if family.startswith(name)), len(PREFERRED))


def _characters(file: Path) -> frozenset[int]:
    face = _face(file)
    return frozenset() if face is None else face.characters


def _face(file: Path) -> Face | None:
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with TTFont(file, fontNumber=0, lazy=True) as font:
            name = font["name"].getBestFamilyName() or file.stem
            return Face(str(name), file, frozenset(font.getBestCmap() or ()))
    except (TTLibError, OSError, KeyError, AssertionError):
        return None  # not a font, or a broken one: others may do
