"""The words of a report, ready for translation: every sentence goes through `say`, gettext's way.

English is written in the code. A catalogue `locale/<language>/LC_MESSAGES/watchkeeper.mo` beside this file is another
language; what it has not is said in English.
"""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

LOCALE = Path(__file__).parent / "locale"
_spoken: ContextVar[gettext.NullTranslations] = ContextVar("_spoken", default=gettext.NullTranslations())  # noqa: B039


def say(message: str, /, **values: object) -> str:
    """The message in the language that is spoken, with its values.

    >>> say("{count} incidents", count=3)
    '3 incidents'
    """
    text = _spoken.get().gettext(message) if message else ""
    return text.format(**values) if values else text


def count(one: str, many: str, number: int) -> str:
    """`one` or `many`, as the language has it; both know `{n}`.

    >>> count("{n} model", "{n} models", 1)
    '1 model'
    """
    return _spoken.get().ngettext(one, many, number).format(n=number)


@contextmanager
def speaking(language: str | gettext.NullTranslations) -> Iterator[None]:
    """Say everything inside in this language; English where there is no catalogue."""
    found = (
        gettext.translation("watchkeeper", LOCALE, [language], fallback=True) if isinstance(language, str) else language
    )
    token = _spoken.set(found)
    try:
        yield
    finally:
        _spoken.reset(token)
