"""`token create`, `list`, `revoke`: what opens the API or the MCP server to a program."""

from __future__ import annotations

from typing import Any

from agent.commands.output import console, styled, table, when
from agent.commands.workspace import me
from agent.domain.errors import InvalidInput
from agent.pipeline import tokens
from agent.pipeline.services import Services
from agent.settings import Settings
from agent.store.tables import ApiToken
from ml.spec import parse_duration


def create(
    services: Services,
    name: str,
    *,
    person: str | None,
    scopes: list[str],
    models: list[str],
    audience: str,
    expires: str,
    agent: bool = False,
) -> dict[str, Any]:
    """A new token with its secret, which is shown this once."""
    try:
        life = parse_duration(expires)
    except ValueError as error:
        raise InvalidInput(f"--expires: {error}.") from None
    made = tokens.create(
        services,
        name=name,
        person=person or me(),
        scopes=scopes,
        models=models,
        audience=audience,
        life=life,
        agent=agent,
    )
    return {**_plain(services, made.row), "token": made.secret}


def audience_of(door: str, settings: Settings) -> str:
    """The address of a door. Raises: InvalidInput."""
    doors = {"mcp": settings.mcp_url, "api": tokens.api_audience(settings.public_url)}
    if door not in doors:
        raise InvalidInput(f"--for: {door!r} is no door; use {' or '.join(doors)}.")
    return doors[door]


def every(services: Services) -> list[dict[str, Any]]:
    """Every token there was; never a secret."""
    with services.store.read() as session:
        return [_plain(services, row) for row in tokens.every(session)]


def revoke(services: Services, wanted: str, *, person: str | None) -> dict[str, Any]:
    """End a token now."""
    return _plain(services, tokens.revoke(services, wanted, person=person or me()))


def _plain(services: Services, row: ApiToken) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "person": row.person,
        "state": tokens.state_of(row, services.wall()),
        "scopes": list(row.scopes),
        "agent": row.agent,
        "models": list(row.models),
        "audience": row.audience,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "revoked_by": row.revoked_by,
    }


def render_created(item: dict[str, Any]) -> None:
    console.print(item["token"], soft_wrap=True, markup=False, highlight=False)
    may = " and ".join(item["scopes"])
    console.print(
        f"Token {item['id']} of {item['person']} may {may} at {item['audience']} until {when(item['expires_at'])}. "
        "It is shown this once: keep it where secrets are kept."
    )


def render_every(items: list[dict[str, Any]]) -> None:
    if not items:
        console.print("There is no token. Make one with `watchkeeper token create NAME`.")
        return
    rows = table("id", "name", "of", "may", "models", "for", "until (UTC)", "state")
    for item in items:
        rows.add_row(
            item["id"],
            item["name"],
            item["person"],
            ", ".join(item["scopes"]),
            ", ".join(item["models"]) or "all",
            item["audience"],
            when(item["expires_at"]),
            styled(item["state"]),
        )
    console.print(rows)


def render_revoked(item: dict[str, Any]) -> None:
    console.print(f"Token {item['id']} ({item['name']}) opens nothing any more.")
