"""An answer in the terminal while it is made: its sentences as they come, what is done meanwhile, and a correction."""

from __future__ import annotations

import sys
from typing import TextIO

from agent.conversation.desk import Event


class Speaking:
    """A listener that prints. Words go to `out`; what is done meanwhile to `aside`, where that is a terminal."""

    def __init__(self, out: TextIO | None = None, aside: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.aside = aside or sys.stderr
        self.shown = ""
        self._chatty = self.aside.isatty()

    def __call__(self, event: Event) -> None:
        if event.data.get("restart") and self.shown:
            self.out.write("\n")
            self.shown = ""
        if event.kind == "token":
            self._write(event.text)
        elif event.kind == "status" and event.text and self._chatty and not self.shown:
            self.aside.write(f"\x1b[2m{event.text}\x1b[0m\n")
            self.aside.flush()
        elif event.kind == "done":
            self._finish(event.text)

    def _finish(self, text: str) -> None:
        rest = remainder(text, self.shown)
        if rest is None:
            self.out.write("\n\nCorrected:\n")
            rest = text
        self._write(rest)
        self.out.write("\n")
        self.out.flush()
        self.shown = ""

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()
        self.shown += text


def remainder(whole: str, shown: str) -> str | None:
    """What of `whole` is still to be shown; None when what was shown is not its beginning. Spaces do not count.

    >>> remainder("It is fine. [i-1]\\nMore.", "It is  fine. [i-1] "), remainder("No.", "Yes.")
    ('\\nMore.', None)
    """
    at = 0
    for letter in shown:
        if letter.isspace():
            continue
        while at < len(whole) and whole[at].isspace():
            at += 1
        if at >= len(whole) or whole[at] != letter:
            return None
        at += 1
    return whole[at:] if shown.strip() else whole
