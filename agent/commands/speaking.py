"""An answer in the terminal while it is made: its sentences as they come, what is done meanwhile, and a correction."""

from __future__ import annotations

import sys
from typing import TextIO

from agent.conversation.desk import Event
from agent.conversation.spoken import remainder


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
