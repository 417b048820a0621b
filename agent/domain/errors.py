"""What can go wrong in deciding and acting; the rest of the tree is in `ml.errors`.

WatchkeeperError
├── NotAllowed            policy says no to this person, now                     (exit 1, 403)
│   ├── NotSignedIn       nobody knows who asks                                  (401)
│   └── SignInAgain       they signed in too long ago for what they ask          (403)
├── TooMany               more than one caller may ask in this while             (429)
├── Refused               a gate said no, or the step failed; nothing changed    (recorded)
│   └── Unclear           a stage ended without a verdict; a person is asked     (recorded)
├── Waits                 a stage wants to be asked again later                  (internal)
└── Conflict
    ├── IllegalTransition the event does not apply to the state                  (exit 1, 409)
    ├── Expired           the time to decide or to execute has passed            (exit 1, 409)
    ├── Superseded        the world is not the one that was approved             (recorded)
    ├── Held              the kill switch or a freeze; it goes on afterwards     (internal)
    └── LeaseLost         another worker has taken the execution over            (internal)
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ml.errors import Conflict, DataError, InvalidInput, NotFound, SpecError, Unavailable, WatchkeeperError

__all__ = [
    "Conflict",
    "DataError",
    "Expired",
    "Held",
    "IllegalTransition",
    "InvalidInput",
    "LeaseLost",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "Refused",
    "SignInAgain",
    "SpecError",
    "Superseded",
    "TooMany",
    "Unavailable",
    "Unclear",
    "Waits",
    "WatchkeeperError",
]


class NotAllowed(WatchkeeperError):
    """Policy says no to this person, now; the message says which rule and who may."""


class NotSignedIn(NotAllowed):
    """Nobody knows who asks: no session, and no token that opens anything."""


class SignInAgain(NotAllowed):
    """They are known, but signed in too long ago for what they ask."""


class TooMany(WatchkeeperError):
    """More than one caller may ask in this while; `wait` is in seconds."""

    def __init__(self, said: str, wait: int) -> None:
        super().__init__(said)
        self.wait = wait


class Refused(WatchkeeperError):
    """A gate said no (data unfit, challenger not better), or a step could not be done; the champion stays."""


class Unclear(Refused):
    """A stage of a release ended and nobody can say whether the version is good; a person is asked."""


class Waits(WatchkeeperError):
    """It is too early to say; the step is to be asked again at `until`, by any worker. found: what it saw so far."""

    def __init__(self, until: datetime, found: Mapping[str, Any]) -> None:
        super().__init__(f"waits until {until:%Y-%m-%d %H:%M} UTC")
        self.until, self.found = until, dict(found)


class Superseded(Conflict):
    """The world is no longer the one that was approved; nothing was done."""


class Held(Conflict):
    """Nothing may be executed now; what was begun waits, and goes on when that is over."""


class IllegalTransition(Conflict):
    """The event does not apply to the state that the record is in."""


class Expired(Conflict):
    """The time to decide or to execute has passed."""


class LeaseLost(Conflict):
    """Another worker has taken this execution over; nothing more may be written under the old lease."""
