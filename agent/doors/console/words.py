"""How times, numbers and names are written on a page. Everything here gives text or escaped markup."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup, escape


def moment(value: datetime | str | None, *, short: bool = False) -> Markup:
    """A time for people and, in its attribute, for machines; always UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return escape(value)
    if value is None:
        return Markup("–")
    text = f"{value:%-d %b, %H:%M}" if short else f"{value:%-d %b %Y, %H:%M}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        value.isoformat(), f"{value:%Y-%m-%d %H:%M:%S} UTC", text
    )


def number(value: Any) -> str:
    """Three significant digits, grouped; a dash for nothing.

    >>> number(1234.5), number(0.04567), number(None), number(3)
    ('1,234', '0.0457', '–', '3')
    """
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return "–"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.1e}"


def length(value: timedelta) -> str:
    """A length of time by its largest two units.

    >>> length(timedelta(hours=49, minutes=5)), length(timedelta(seconds=20)), length(timedelta(minutes=-3))
    ('2 d 1 h', '20 s', '0 s')
    """
    left = max(int(value.total_seconds()), 0)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        if len(parts) == 2 or (parts and unit == "h"):
            break
    return " ".join(parts[:2]) or "0 s"


def plain(name: object) -> str:
    """A name of a closed set as words: `data_pipeline_fault` is "data pipeline fault"."""
    return str(name).replace("_", " ")


def percent(value: float | None) -> str:
    """A probability as whole percent, never rounded to certainty.

    >>> percent(0.996), percent(0.5), percent(None)
    ('> 99 %', '50 %', '–')
    """
    if value is None:
        return "–"
    if 0.99 < value < 1:
        return "> 99 %"
    return "< 1 %" if 0 < value < 0.01 else f"{value:.0%}".replace("%", " %")


def metric_name(name: str) -> str:
    """A metric as people write it.

    >>> metric_name("roc_auc"), metric_name("mae"), metric_name("recall")
    ('ROC AUC', 'MAE', 'recall')
    """
    return {
        "roc_auc": "ROC AUC",
        "mae": "MAE",
        "rmse": "RMSE",
        "macro_f1": "macro F1",
        "f1": "F1",
        "brier": "Brier score",
    }.get(name, plain(name))
