"""`user add`, `list`, `deactivate`, `activate`, `role`, `password`, `link-code`: who may come in, from this machine."""

from __future__ import annotations

from typing import Any

from agent.commands.output import console, styled, table, when
from agent.commands.workspace import me
from agent.pipeline import people, set_up
from agent.pipeline.services import Services
from agent.store.tables import Person


def add(services: Services, name: str, *, role: str, models: list[str], by: str | None) -> dict[str, Any]:
    """A new person, and the link by which they choose a password."""
    with services.store.write() as session:
        row = people.add(session, services, name, role=role, models=models, by=by or me())
        return {**_plain(row), "link": set_up.password_link(session, services, row)}


def every(services: Services) -> list[dict[str, Any]]:
    """Everybody, with who they are elsewhere."""
    with services.store.read() as session:
        return [
            {**_plain(row), "identities": [one.kind for one in people.identities(session, row)]}
            for row in people.every(session)
        ]


def deactivate(services: Services, name: str, *, by: str | None) -> dict[str, Any]:
    with services.store.write() as session:
        return _plain(people.deactivate(session, services, people.by_name(session, name), by=by or me()))


def activate(services: Services, name: str, *, by: str | None) -> dict[str, Any]:
    with services.store.write() as session:
        return _plain(people.activate(session, services, people.by_name(session, name), by=by or me()))


def change(
    services: Services, name: str, *, role: str | None, models: list[str] | None, by: str | None
) -> dict[str, Any]:
    with services.store.write() as session:
        row = people.by_name(session, name)
        return _plain(people.change(session, services, row, role=role, models=models, by=by or me()))


def password(services: Services, name: str) -> dict[str, Any]:
    """A link by which this person sets a new password; the one before it works no more."""
    with services.store.write() as session:
        row = people.by_name(session, name)
        return {**_plain(row), "link": set_up.password_link(session, services, row)}


def link_code(services: Services, name: str) -> dict[str, Any]:
    """A code that binds one Slack account to this person."""
    with services.store.write() as session:
        row = people.by_name(session, name)
        return {**_plain(row), "code": people.make_link_code(session, services, row)}


def _plain(row: Person) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "role": row.role,
        "models": list(row.models),
        "active": row.active,
        "password": row.password is not None,
        "created_at": row.created_at,
        "created_by": row.created_by,
    }


def render_link(item: dict[str, Any]) -> None:
    console.print(item["link"], soft_wrap=True, markup=False, highlight=False)
    console.print(
        f"Give this link to {item['name']} ({item['role']}): it works once, within a day, and sets a password. "
        "Whoever has it can be them, so send it where only they read."
    )


def render_code(item: dict[str, Any]) -> None:
    console.print(item["code"], soft_wrap=True, markup=False, highlight=False)
    console.print(f"In Slack, {item['name']} types `/watch link CODE`. It works once, within ten minutes.")


def render_every(items: list[dict[str, Any]]) -> None:
    if not items:
        console.print("There is nobody yet: whoever is at this machine may do everything. `watchkeeper user add NAME`.")
        return
    rows = table("name", "role", "models", "signs in by", "since (UTC)", "state")
    for item in items:
        ways = (["password"] if item["password"] else []) + item["identities"]
        rows.add_row(
            item["name"],
            item["role"],
            ", ".join(item["models"]) or "all",
            ", ".join(ways) or "nothing yet",
            when(item["created_at"]),
            styled("active" if item["active"] else "deactivated"),
        )
    console.print(rows)


def render_changed(item: dict[str, Any]) -> None:
    if not item["active"]:
        console.print(f"{item['name']} is out: no session, no token and no code of theirs opens anything any more.")
        return
    console.print(f"{item['name']} is {item['role']}, for {', '.join(item['models']) or 'all models'}.")
