"""How times, numbers and metrics are written on a page, on top of the words that every door shares."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import quote

from markupsafe import Markup, escape

from agent.domain.wording import figure, length, shown, visible

NAMES = {
    "roc_auc": "ROC AUC",
    "mae": "MAE",
    "rmse": "RMSE",
    "mape": "MAPE",
    "macro_f1": "macro F1",
    "f1": "F1",
    "r2": "R²",
    "brier": "Brier score",
    "log_loss": "log loss",
}
"""Metrics whose written name is another than their own."""
_METRIC = re.compile(rf"(?<![\w.])(?:{'|'.join(NAMES)})(?![\w.(])")


def moment(value: datetime | str | None) -> Markup:
    """A time for people and, in its attribute, for machines; always UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return escape(value)
    if value is None:
        return Markup("–")
    return Markup('<time datetime="{}" title="{} UTC" data-local>{}</time>').format(
        value.isoformat(), f"{value:%Y-%m-%d %H:%M:%S}", f"{value:%-d %b %Y, %H:%M}"
    )


def number(value: object) -> str:
    """A number as reports write it; a dash for nothing.

    >>> number(59.3278), number(0.0456789), number(None), number("x")
    ('59.3', '0.0457', '–', '–')
    """
    rounded = figure(value) if isinstance(value, (int, float)) else None
    return "–" if rounded is None else shown(rounded)


def count(value: int) -> str:
    """A count with its thousands apart, by a space that does not break.

    >>> count(840), count(1234567)
    ('840', '1\u202f234\u202f567')
    """
    return f"{value:,}".replace(",", "\u202f")


def metric_name(name: str) -> str:
    """A metric as people write it.

    >>> metric_name("roc_auc"), metric_name("mae"), metric_name("log_loss")
    ('ROC AUC', 'MAE', 'log loss')
    """
    return NAMES.get(name, name.replace("_", " "))


def with_names(text: str) -> str:
    """A sentence of the records with its metrics as people write them.

    >>> with_names("roc_auc 0.738 on 59 labelled rows"), with_names("column mae.x stays")
    ('ROC AUC 0.738 on 59 labelled rows', 'column mae.x stays')
    """
    return _METRIC.sub(lambda found: NAMES[found.group()], text)


def told(text: object, longest: int = 600) -> str:
    """Free text of the records: nothing hidden in it, its metrics as people write them."""
    return with_names(visible(text, longest))


def ago(value: datetime | None, now: datetime) -> str:
    """How long ago, in its largest unit.

    >>> from datetime import UTC, timedelta
    >>> now = datetime(2026, 1, 2, tzinfo=UTC)
    >>> ago(now - timedelta(hours=5, minutes=3), now), ago(now, now), ago(None, now)
    ('5 h ago', 'just now', 'never')
    """
    if value is None:
        return "never"
    seconds = (now - value).total_seconds()
    if seconds < 60:
        return "just now" if seconds > -60 else f"in {length(-seconds)}"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def path_part(name: object) -> str:
    """A name as one part of an address, whatever is in it.

    >>> path_part("a/b?c d")
    'a%2Fb%3Fc%20d'
    """
    return quote(str(name), safe="")
