"""How times, numbers and metrics are written on a page, on top of the words that every door shares."""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup, escape

from agent.domain.wording import figure, shown


def moment(value: datetime | str | None) -> Markup:
    """A time for people and, in its attribute, for machines; always UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return escape(value)
    if value is None:
        return Markup("–")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        value.isoformat(), f"{value:%Y-%m-%d %H:%M:%S}", f"{value:%-d %b %Y, %H:%M}"
    )


def number(value: object) -> str:
    """A number as reports write it; a dash for nothing.

    >>> number(59.3278), number(0.0456789), number(None), number("x")
    ('59.3', '0.0457', '–', '–')
    """
    rounded = figure(value) if isinstance(value, (int, float)) else None
    return "–" if rounded is None else shown(rounded)


def metric_name(name: str) -> str:
    """A metric as people write it.

    >>> metric_name("roc_auc"), metric_name("mae"), metric_name("log_loss")
    ('ROC AUC', 'MAE', 'log loss')
    """
    known = {
        "roc_auc": "ROC AUC",
        "mae": "MAE",
        "rmse": "RMSE",
        "macro_f1": "macro F1",
        "f1": "F1",
        "brier": "Brier score",
    }
    return known.get(name, name.replace("_", " "))
