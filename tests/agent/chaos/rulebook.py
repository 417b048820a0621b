"""The rules of deciding as a small model, written from the manual: what each move leads to, and who is told no."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

APPROVERS = ("ann", "ben", "eva")
PEOPLE = (*APPROVERS, "cat")  # cat only looks
NEEDED, AGAINST = 2, 2
DECIDE, START = timedelta(days=2), timedelta(hours=6)
MOST = 3
Move = tuple[str, ...]


@dataclass
class Card:
    """The latest proposal."""

    kind: str
    requester: str
    approve_by: datetime
    expected: str | None = None
    to: str | None = None
    state: str = "pending"
    yes: set[str] = field(default_factory=set)
    no: set[str] = field(default_factory=set)
    execute_by: datetime | None = None

    def may(self, person: str) -> bool:
        return person in APPROVERS and person != self.requester


@dataclass
class Rulebook:
    """The world as the rules see it. `play` makes a move and says how it ended: a state, or the name of an error."""

    now: datetime
    champion: str = "2"
    card: Card | None = None
    frozen: bool = False
    asked: dict[str, datetime] = field(default_factory=dict)
    starts: list[datetime] = field(default_factory=list)

    def play(self, move: Move) -> str:
        name, *rest = move
        ended: str = getattr(self, name)(*rest)
        return ended

    def propose(self, kind: str, requester: str) -> str:
        if self.card is not None and self.card.state in ("pending", "approved", "executing"):
            return "Conflict"
        to = "1" if self.champion == "2" else "2"
        versions = (self.champion, to) if kind == "rollback" else (None, None)
        self.card = Card(kind, requester, self.now + DECIDE, *versions)
        return "pending"

    def approve(self, person: str) -> str:
        card = self.card
        if card is None:
            return "nothing"
        if person in card.yes:
            return card.state
        if (no := self._decidable(card, person)) is not None:
            return no
        if self._overtaken(card):
            card.state = "superseded"
            return "Conflict"
        card.yes.add(person)
        card.no.discard(person)
        if len(card.yes) >= NEEDED:
            card.state, card.execute_by = "approved", self.now + START
        return card.state

    def reject(self, person: str) -> str:
        card = self.card
        if card is None:
            return "nothing"
        if person in card.no:
            return card.state
        if (no := self._decidable(card, person)) is not None:
            return no
        card.no.add(person)
        card.yes.discard(person)
        if len(card.no) >= AGAINST:
            card.state = "rejected"
        return card.state

    def withdraw(self, person: str) -> str:
        card = self.card
        if card is None:
            return "nothing"
        if not card.may(person) and not (person == card.requester and person in PEOPLE):
            return "NotAllowed"
        if card.state != "pending":
            return "Conflict"
        card.state = "withdrawn"
        return card.state

    def cancel(self, person: str) -> str:
        card = self.card
        if card is None:
            return "nothing"
        if person not in PEOPLE:
            return "NotAllowed"
        if card.state != "approved":
            return "Conflict"
        card.state = "withdrawn"
        return card.state

    def expire(self) -> str:
        card = self.card
        if card is not None and card.state == "pending" and self.now >= card.approve_by:
            card.state = "expired"
            return "expired"
        if card is not None and card.state == "approved" and card.execute_by and self.now >= card.execute_by:
            card.state = "expired"
            return "expired"
        return "nothing"

    def supersede(self) -> str:
        card = self.card
        if card is None or card.state not in ("pending", "approved") or not self._overtaken(card):
            return "nothing"
        card.state = "superseded"
        return "superseded"

    def run(self) -> str:
        card = self.card
        if card is None or card.state != "approved" or self.frozen:
            return "0"
        assert card.execute_by is not None
        late = self.now >= card.execute_by
        if not late and len([start for start in self.starts if start > self.now - timedelta(hours=1)]) >= MOST:
            return "0"
        self.starts.append(self.now)
        if late or self._overtaken(card):
            card.state = "superseded"
        else:
            card.state, self.champion = "verifying", card.to or self.champion
        return "1"

    def freeze(self) -> str:
        self.frozen = True
        self.asked.clear()
        return "frozen"

    def unfreeze(self, person: str) -> str:
        if not self.frozen:
            return "Conflict"
        if person not in APPROVERS:
            return "NotAllowed"
        self.asked[person] = self.now
        fresh = [one for one, at in self.asked.items() if at > self.now - DECIDE]
        if len(fresh) >= 2:
            self.frozen = False
            self.asked.clear()
        return "frozen" if self.frozen else "free"

    def advance(self, minutes: str) -> str:
        self.now += timedelta(minutes=int(minutes))
        return "later"

    def deploy(self) -> str:
        """Somebody outside makes the other version champion."""
        self.champion = "1" if self.champion == "2" else "2"
        return self.champion

    def _decidable(self, card: Card, person: str) -> str | None:
        if not card.may(person):
            return "NotAllowed"
        if card.state != "pending":
            return "Conflict"
        return "Expired" if self.now >= card.approve_by else None

    def _overtaken(self, card: Card) -> bool:
        return card.expected is not None and card.expected != self.champion
