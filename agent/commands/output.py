"""How the command line speaks: tables for people, JSON for programs, one sentence for an error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

# Into a pipe or a file, a table may be as wide as it needs; a terminal says its own width.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

STATE_STYLE = {
    "ok": "green",
    "resolved": "green",
    "succeeded": "green",
    "done": "green",
    "pending": "yellow",
    "waiting": "yellow",
    "approved": "cyan",
    "executing": "cyan",
    "verifying": "cyan",
    "acting": "cyan",
    "open": "red",
    "diagnosed": "red",
    "breach": "red",
    "failed": "red",
    "critical": "red",
    "warning": "yellow",
}


def print_json(data: Any) -> None:
    """One JSON document on standard output; times as ISO 8601, no NaN."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not plain data")


def styled(word: str) -> str:
    """A state with its colour."""
    style = STATE_STYLE.get(word)
    return f"[{style}]{word}[/]" if style else word


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the house's look."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column is not columns[-1] and len(columns) <= 7)
    return made


def when(moment: datetime | str | None) -> str:
    """A time for people: minutes, UTC."""
    if moment is None:
        return "-"
    value = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{value:%Y-%m-%d %H:%M}"


def number(value: float | None) -> str:
    """A number for people: three significant digits."""
    return "-" if value is None else f"{value:.3g}"


def spark(values: list[float | None]) -> str:
    """A spark line; a gap where there is no value."""
    bars = "▁▂▃▄▅▆▇█"
    known = [v for v in values if v is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    return "".join(" " if v is None else bars[int((v - low) / ((high - low) or 1) * 7)] for v in values)


def report_error(error: Exception, *, as_json: bool) -> int:
    """Say an error in a sentence; the exit code that goes with it."""
    import typer

    from agent.domain.errors import InvalidInput, Unavailable, WatchkeeperError

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        errors.print("stopped")
        return 130
    if isinstance(error, typer.TyperException):  # a wrong option or argument
        message, code = _misused(error), 2
    elif isinstance(error, WatchkeeperError):
        message, code = str(error), 2 if isinstance(error, InvalidInput) else 3 if isinstance(error, Unavailable) else 1
    else:
        message, code = _unexpected(error), 3
    if as_json:
        print_json({"error": {"type": type(error).__name__, "message": message, "exit_code": code}})
    else:
        errors.print(message, style="red", markup=False)
    return code


def _misused(error: Exception) -> str:
    """A wrong option or argument, and where the right ones stand."""
    message = str(getattr(error, "format_message", lambda: str(error))())
    context = getattr(error, "ctx", None)
    if context is None or "Usage:" in message:
        return message
    return f"{message.rstrip('.')}; see `{context.command_path} --help`."


def _unexpected(error: Exception) -> str:
    """A fault of ours: the details go to a file, the person gets a sentence."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="watchkeeper-", suffix=".log", delete=False, encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))
    logging.getLogger(__name__).debug("unexpected", exc_info=error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"Something went wrong that should not have ({type(error).__name__}: {first}). Details: {file.name}"
