"""Versions in the registry, what differs between two of them, and which of them answered when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select

from agent.conversation.records.sight import Sight, cursor_of, numbered, page, timed
from agent.domain.errors import NotFound
from agent.store.tables import Deployment
from ml.models.registry import CHAMPION, VersionInfo
from tools.context import Found, Item, Span

Versions = Callable[[str], Sequence[VersionInfo]]


def versions(found: Sequence[VersionInfo], model: str, compare: tuple[str, str] | None, cursor: str | None) -> Found:
    """Every version, newest first; with `compare` the two and what differs. Raises: NotFound."""
    if not found:
        return Found({"champion": None, "versions": []}, missing=f"{model} has no version in the registry yet.")
    data: dict[str, Any] = {"champion": next((v.version for v in found if CHAMPION in v.aliases), None)}
    shown = list(found)
    if compare is not None:
        by_name = {info.version: info for info in found}
        for wanted in compare:
            if wanted not in by_name:
                there = ", ".join(info.version for info in found[:40])
                raise NotFound(f"{model} has no version {wanted[:40]!r}; it has {there}.")
        shown = [by_name[wanted] for wanted in compare]
        data["differences"] = _differences(_plain(shown[0]), _plain(shown[1]))
    return Found(
        data,
        numbered([_plain(info) for info in shown], cursor, [_made_by(info) for info in shown]),
        lambda page: {"versions": page},
        n=len(shown),
    )


def _made_by(info: VersionInfo) -> tuple[str, ...]:
    return (info.run_tag,) if info.run_tag and info.run_tag.startswith("p-") else ()


def _plain(info: VersionInfo) -> dict[str, Any]:
    return {
        "version": info.version,
        "created_at": info.created_at,
        "aliases": list(info.aliases),
        "metrics": info.metrics,
        "data_version": info.data_version,
        "code_version": info.code_version,
        "parent": info.parent_version,
        "proposal": info.run_tag,
        "parameters": info.params,
    }


def _differences(one: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    """What is not the same in two versions, a line each."""
    found = [
        {"what": key, "a": one[key], "b": other[key]}
        for key in ("created_at", "aliases", "data_version", "code_version", "parent", "proposal")
        if one[key] != other[key]
    ]
    for group in ("metrics", "parameters"):
        names = sorted({*one[group], *other[group]})
        found += [
            {"what": f"{group}.{name}", "a": one[group].get(name), "b": other[group].get(name)}
            for name in names
            if one[group].get(name) != other[group].get(name)
        ]
    return found


def deployments(sight: Sight, model: str, span: Span, cursor: str | None) -> Found:
    """The deployment ledger, newest first."""
    sight.spec(model)
    query = select(Deployment).where(Deployment.model == model, *timed(Deployment.at, span))
    rows, more = page(sight.session, query, (Deployment.at, Deployment.id), cursor)
    if not rows:
        when = "in that time" if span.since or cursor else "yet"
        return Found({"deployments": []}, missing=f"No version of {model} went live {when}.")
    items = [
        Item(
            {"version": row.version, "at": row.at, "kind": row.kind, "note": row.note, "proposal": row.proposal_id},
            cursor_of(row.at, row.id),
            (row.proposal_id,) if row.proposal_id else (),
        )
        for row in rows
    ]
    return Found({}, items, lambda entries: {"deployments": entries}, more=more, window=(rows[-1].at, rows[0].at))
