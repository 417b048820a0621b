"""Is this somebody we know, and may they? The identity is (team, user) of the signed payload, nothing that is typed."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from agent.domain.errors import Unavailable
from agent.domain.policy import covers
from agent.domain.roles import Role, reaches
from agent.doors.slack.handle.asked import Asked, Refusal, call, client_of
from agent.pipeline import people
from agent.pipeline.services import Services
from agent.pipeline.slack.home import HOW_TO_LINK
from agent.store.tables import Person
from tools.context import Caller


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody in Slack. refused: why they may do nothing here at all; person: who they are linked to, if anybody."""

    asked: Asked
    person: Person | None
    refused: str = ""

    @property
    def name(self) -> str:
        """The name that records know them by."""
        return self.person.name if self.person is not None else f"slack:{self.asked.identity}"

    def sees(self, model: str) -> bool:
        return self.person is None or not self.person.models or covers(tuple(map(str, self.person.models)), model)

    def why_not(self, role: Role) -> str:
        """Why they may not do what takes a role; "" when they may."""
        if self.refused:
            return self.refused
        if self.person is None:
            return HOW_TO_LINK
        if not reaches(self.person.role, role):
            return f"You are {self.person.role} in Watchkeeper, and this takes {role}; an admin can change that."
        return ""

    def caller(self) -> Caller:
        """As conversations know them: who is not linked reads, and proposes nothing."""
        person = self.person
        models = frozenset(map(str, person.models)) if person is not None and person.models else None
        propose = person is not None and reaches(person.role, Role.OPERATOR)
        return Caller(self.name, "person", models, may_propose=propose, through=f"slack:{self.asked.identity}")


def who_is(services: Services, asked: Asked) -> Who:
    """Raises: Unavailable when Slack cannot be asked: then nobody is let in."""
    with services.store.read() as session:
        person = people.person_of(session, "slack", asked.identity)
    if person is not None and not person.active:
        return Who(asked, person, "Your account in Watchkeeper is deactivated; an admin can let you in again.")
    return Who(asked, person, _stranger(services, asked))


def _stranger(services: Services, asked: Asked) -> str:
    """Why somebody is no member of our workspace; "" for a member."""
    if asked.is_bot or not asked.user:
        return "Bots and workflows may not do this; a person must."
    home = home_team(services)
    if asked.team != home:
        return "You belong to another workspace; only members of the one that Watchkeeper is installed in may do this."
    try:
        user = call(services, "users_info", user=asked.user).get("user") or {}
    except Refusal as error:
        if error.error in ("user_not_found", "users_not_found", "user_not_visible"):
            return "Slack does not know you in this workspace, so you may not do this."
        raise Unavailable(f"Slack does not say who {asked.user} is ({error}).") from error
    if user.get("is_bot") or user.get("id") == "USLACKBOT":
        return "Bots and workflows may not do this; a person must."
    if user.get("is_stranger") or str(user.get("team_id") or home) != home:
        return "You belong to another workspace; only members of the one that Watchkeeper is installed in may do this."
    if user.get("deleted"):
        return "Your account in Slack is deactivated."
    if user.get("is_restricted") or user.get("is_ultra_restricted"):
        return "Guests of the workspace may not do this; a full member must."
    return ""


_homes: WeakKeyDictionary[object, str] = WeakKeyDictionary()


def home_team(services: Services) -> str:
    """The workspace that the app is installed in, asked once for each client."""
    client = client_of(services)
    if not _homes.get(client):
        try:
            _homes[client] = str(call(services, "auth_test").get("team_id") or "")
        except Refusal as error:
            raise Unavailable(f"Slack does not know this app ({error}).") from error
    return _homes[client]
