"""How people sign in here, beside a password: whether they must, and which OpenID provider is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.domain.roles import Role


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID provider. `newcomers`: the role of somebody who is not known here yet; None lets nobody in whom no
    admin has added. `roles_claim` and `roles`: a claim of the provider, and which role each of its values means."""

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    name: str = "single sign-on"
    newcomers: Role | None = None
    roles_claim: str = ""
    roles: Mapping[str, Role] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignIn:
    """`required`: other machines can reach this server, so nobody comes in without signing in."""

    required: bool = False
    provider: Provider | None = None
