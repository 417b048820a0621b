"""How people sign in here, beside a password: whether they must, and which OpenID provider is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.domain.errors import InvalidInput
from agent.domain.roles import Role


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID provider. newcomers: the role of somebody who is not known here yet; None lets nobody in whom no admin
    has added. roles_claim, roles: a claim of the provider, and which role each of its values means. name_claim: what a
    person is called here; an `email` counts when it is verified."""

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    name: str = "single sign-on"
    newcomers: Role | None = None
    roles_claim: str = ""
    roles: Mapping[str, Role] = field(default_factory=dict)
    name_claim: str = "email"


@dataclass(frozen=True, slots=True)
class SignIn:
    """`required`: other machines can reach this server, so nobody comes in without signing in."""

    required: bool = False
    provider: Provider | None = None


def parse_provider(
    *,
    issuer: str,
    client_id: str,
    client_secret: str = "",
    name: str = "",
    newcomers: str = "",
    roles_claim: str = "",
    roles: str = "",
    name_claim: str = "",
) -> Provider | None:
    """The provider as the settings write it; None without an issuer. `roles`: VALUE=ROLE, several with commas.

    >>> parse_provider(issuer="https://id.example.org/", client_id="wk", roles="ml-leads=approver").roles
    {'ml-leads': <Role.APPROVER: 'approver'>}

    Raises: InvalidInput naming the setting.
    """
    if not issuer:
        return None
    if not client_id:
        raise InvalidInput("WATCHKEEPER_OIDC_CLIENT_ID is missing: it is the name of this program at the provider.")
    pairs = [part.partition("=") for part in roles.split(",") if part.strip()]
    return Provider(
        issuer=issuer,
        client_id=client_id,
        client_secret=client_secret,
        name=name or "single sign-on",
        newcomers=_role("OIDC_NEWCOMERS", newcomers) if newcomers else None,
        roles_claim=roles_claim,
        roles={value.strip(): _role("OIDC_ROLES", role) for value, _, role in pairs},
        name_claim=name_claim or "email",
    )


def _role(setting: str, text: str) -> Role:
    try:
        return Role(text.strip())
    except ValueError:
        raise InvalidInput(f"WATCHKEEPER_{setting}: {text.strip()!r} is no role; use {', '.join(Role)}.") from None
