"""What can go wrong in deciding and acting; the rest of the tree is in `ml.errors`.

WatchkeeperError
├── NotAllowed            policy says no to this person, now                     (exit 1, 403)
├── Refused               a gate said no, or the step failed; nothing changed    (recorded)
└── Conflict
    ├── IllegalTransition the event does not apply to the state                  (exit 1, 409)
    ├── Expired           the time to decide or to execute has passed            (exit 1, 409)
    ├── Superseded        the world is not the one that was approved             (recorded)
    ├── Held              the kill switch or a freeze; it goes on afterwards     (internal)
    └── LeaseLost         another worker has taken the execution over            (internal)
"""

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
    "Refused",
    "SpecError",
    "Superseded",
    "Unavailable",
    "WatchkeeperError",
]


class NotAllowed(WatchkeeperError):
    """Policy says no to this person, now; the message says which rule and who may."""


class Refused(WatchkeeperError):
    """A gate said no (data unfit, challenger not better), or a step could not be done; the champion stays."""


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
