"""Alerts of other programs as plain values: Alertmanager, Grafana, and any program that can sign. What they say is
data: it is bounded and cleaned here, and decides nothing but which alerts belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from agent.domain.errors import InvalidInput
from agent.domain.wording import visible
from tools.clean import clean_text

MOST_ALERTS, MOST_LABELS, LONGEST_LABEL = 2_000, 40, 300
LONGEST_TITLE, LONGEST_DETAIL, LONGEST_KEY = 200, 1_500, 300
SEVERITY = {
    **dict.fromkeys(("critical", "page", "error", "high", "disaster", "emergency", "fatal", "p1", "sev1"), "critical"),
    **dict.fromkeys(("warning", "warn", "medium", "average", "p2", "sev2"), "warning"),
    **dict.fromkeys(("info", "informational", "low", "none", "notice", "p4", "p5", "sev4"), "info"),
}

Plain = dict[str, Any]


def from_alertmanager(body: Any) -> list[Plain]:
    """The alerts of one notification of Alertmanager (webhook version 4) or of Grafana, which speaks the same.

    Raises: InvalidInput, naming what is missing.
    """
    document = _mapping(body, "the body")
    alerts = _alerts(document)
    group = _text(document.get("groupKey"), LONGEST_KEY)
    shared_labels, shared = _texts(document.get("commonLabels")), _texts(document.get("commonAnnotations"))
    made = []
    for number, item in enumerate(alerts):
        one = _mapping(item, f"alerts.{number}")
        labels = {**shared_labels, **_texts(one.get("labels"))}
        notes = {**shared, **_texts(one.get("annotations"))}
        if not labels:
            raise InvalidInput(f"alerts.{number}.labels: an alert without a label cannot be told from another.")
        title = notes.get("summary") or notes.get("message") or labels.get("alertname") or "alert"
        made.append(
            _alert(
                number,
                status=one.get("status") or document.get("status"),
                fingerprint=one.get("fingerprint") or _hash_of(labels),
                key=group or labels.get("alertname", ""),
                title=title,
                detail=notes.get("description") or notes.get("message") or "",
                labels=labels,
                link=one.get("generatorURL") or document.get("externalURL"),
                started=one.get("startsAt"),
            )
        )
    return made


def from_generic(body: Any) -> list[Plain]:
    """The alerts of a signed webhook: one alert, or `alerts`; or the same inside `data`, as Standard Webhooks has it.

    Raises: InvalidInput, naming what is missing.
    """
    document = _mapping(body, "the body")
    document = _mapping(document["data"], "data") if isinstance(document.get("data"), Mapping) else document
    items = _alerts(document) if "alerts" in document else [document]
    made = []
    for number, item in enumerate(items):
        one = _mapping(item, f"alerts.{number}")
        labels = _texts(one.get("labels"))
        for name in ("model", "severity"):
            if name in one:
                labels[name] = _text(one[name], LONGEST_LABEL)
        title = _text(one.get("title"), LONGEST_TITLE)
        if not title:
            raise InvalidInput(f"alerts.{number}.title: an alert needs a title, in a line.")
        fingerprint = one.get("fingerprint") or one.get("id") or _hash_of({**labels, "": title})
        made.append(
            _alert(
                number,
                status=one.get("status", "firing"),
                fingerprint=fingerprint,
                key=one.get("key") or fingerprint,
                title=title,
                detail=one.get("detail") or one.get("description") or "",
                labels=labels,
                link=one.get("link") or one.get("url"),
                started=one.get("started_at") or one.get("startsAt"),
            )
        )
    return made


def _alert(number: int, *, status: Any, labels: dict[str, str], link: Any, **said: Any) -> Plain:
    if status not in ("firing", "resolved"):
        raise InvalidInput(f"alerts.{number}.status: must be `firing` or `resolved`.")
    address = _text(link, 500)
    return {
        "status": status,
        "fingerprint": _text(said["fingerprint"], LONGEST_KEY),
        "key": _text(said["key"], LONGEST_KEY) or _text(said["fingerprint"], LONGEST_KEY),
        "model": labels.get("model", ""),
        "severity": SEVERITY.get(labels.get("severity", "").lower(), "warning"),
        "title": visible(" ".join(_text(said["title"], LONGEST_TITLE).split()), LONGEST_TITLE) or "alert",
        "detail": _text(said["detail"], LONGEST_DETAIL),
        "labels": labels,
        "link": address if address.startswith(("https://", "http://")) else "",
        "started": _text(said["started"], 40),
    }


def _alerts(document: Mapping[str, Any]) -> list[Any]:
    alerts = document.get("alerts")
    if not isinstance(alerts, list):
        raise InvalidInput("alerts: must be a list of alerts.")
    if len(alerts) > MOST_ALERTS:
        raise InvalidInput(f"alerts: {len(alerts)} at once, {MOST_ALERTS} is the most; set `max_alerts` of the sender.")
    return alerts


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name}: must be an object.")
    return value


def _texts(value: Any) -> dict[str, str]:
    """Labels or annotations: short texts by short names."""
    if not isinstance(value, Mapping):
        return {}
    pairs = ((_text(key, 100), _text(item, LONGEST_DETAIL)) for key, item in list(value.items())[:MOST_LABELS])
    return {key: item for key, item in pairs if key}


def _text(value: Any, longest: int) -> str:
    if isinstance(value, bool | int | float):
        value = str(value)
    return clean_text(value)[:longest].strip() if isinstance(value, str) else ""


def _hash_of(labels: Mapping[str, str]) -> str:
    said = "\x1f".join(f"{key}\x1e{labels[key]}" for key in sorted(labels))
    return hashlib.sha256(said.encode()).hexdigest()[:16]
