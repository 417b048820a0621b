"""Whom an OpenID provider has sent: somebody known, somebody an admin has added, or a newcomer where those may come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from agent.domain.errors import NotAllowed
from agent.domain.roles import Role
from agent.domain.signing import Provider
from agent.pipeline import people
from agent.pipeline.services import Services
from agent.store.tables import Person

BY = "single sign-on"


def key_of(claims: Mapping[str, Any]) -> str:
    """What a person is known by at a provider, for good: names and addresses change hands, subjects do not."""
    return f"{claims['iss']} {claims['sub']}"


def person_from(session: Session, services: Services, provider: Provider, claims: Mapping[str, Any]) -> Person:
    """Who this is here. Raises: NotAllowed for who may not come in, saying what an admin can do."""
    role = _role_of(provider, claims)
    person = people.person_of(session, "oidc", key_of(claims))
    if person is None:
        name = _name_of(provider, claims)
        person = people.found(session, name)
        if person is None:
            if role is None:
                raise NotAllowed(
                    f"{name!r} has no account here; an admin adds one with `watchkeeper user add {name} --role ROLE`."
                )
            person = people.add(session, services, name, role=role, by=BY)
        elif person.password or any(one.kind == "oidc" for one in people.identities(session, person)):
            raise NotAllowed(
                f"There is an account {person.name!r} already that signs in another way: sign in to it, and connect "
                f"{provider.name} on its profile."
            )
        people.bind(session, services, person, "oidc", key_of(claims), name)
    if not person.active:
        raise NotAllowed("This account is deactivated.")
    if provider.roles and role is not None and person.role != role:
        people.change(session, services, person, role=role, by=BY)
    return person


def _role_of(provider: Provider, claims: Mapping[str, Any]) -> Role | None:
    """The highest role that the provider's groups mean; else that of newcomers. Raises: NotAllowed for none at all."""
    if not provider.roles:
        return provider.newcomers
    given = claims.get(provider.roles_claim, [])
    values = {given} if isinstance(given, str) else {one for one in given if isinstance(one, str)} if given else set()
    found = [role for value, role in provider.roles.items() if value in values]
    role = max(found, key=list(Role).index) if found else provider.newcomers
    if role is None:
        raise NotAllowed(f"{provider.name} says nothing of you that means a role here ({provider.roles_claim}).")
    return role


def _name_of(provider: Provider, claims: Mapping[str, Any]) -> str:
    """The name by which approvals.yaml will know them: a verified address, or the claim that the settings name."""
    name = claims.get(provider.name_claim)
    if not isinstance(name, str) or not name.strip():
        raise NotAllowed(
            f"{provider.name} does not say your {provider.name_claim}; ask who runs it to send that claim."
        )
    if provider.name_claim == "email" and claims.get("email_verified") is not True:
        raise NotAllowed(
            f"{provider.name} has not verified the address {name[:100]!r}, so it says nothing of who you are."
        )
    return name.strip()
