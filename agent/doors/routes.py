"""Every route of an app with the rule that it declares; one without a rule, or with two, is no app."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from agent.doors.access import Rule, rules_of

FOR_EVERYBODY = ("/api/v1/openapi.json", "/static")
"""What has no place for a rule of its own: the specification, and the files that pages are made of."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One method of one path, and what it asks for."""

    method: str
    path: str
    rule: Rule


def declared(app: FastAPI) -> Iterator[Declared]:
    """Every route in the order in which it is tried. Raises: TypeError naming one that does not declare one rule."""
    for context in iter_route_contexts(app.routes):
        path, rules = str(context.path), rules_of(context)
        if not isinstance(context.original_route, APIRoute) and path in FOR_EVERYBODY:
            continue
        if len(rules) != 1 or not context.methods:
            raise TypeError(
                f"{path} declares {len(rules)} access rules; give it one: `dependencies=[needs(…)]`, `public()` or "
                "`signed()` of agent.doors.access."
            )
        for method in sorted(context.methods):
            yield Declared(method, path, rules[0])
