"""What can go wrong, as one small tree. Errors know nothing of HTTP or exit codes; each door maps them once.

    WatchkeeperError
    ├── InvalidInput        what was given breaks a rule                     (exit 2, 422)
    │   ├── SpecError       a model spec: names file, line and key
    │   └── DataError       a table: names file or model, column and row
    ├── NotFound            the thing named does not exist                   (exit 1, 404)
    ├── Conflict            the world is no longer what the caller expected  (exit 1, 409)
    └── Unavailable         something that was needed is down                (exit 3, 503)

Every message is one sentence or two: the thing by name, the rule, the next step.
"""


class WatchkeeperError(Exception):
    """The root; catch it at a door, never in the middle."""


class InvalidInput(WatchkeeperError):
    """What was given breaks a rule."""


class SpecError(InvalidInput):
    """A model spec breaks a rule; the message names file, line and key."""


class DataError(InvalidInput):
    """A table breaks a rule; the message names the source, the column and the row."""


class NotFound(WatchkeeperError):
    """The thing named does not exist."""


class Conflict(WatchkeeperError):
    """The world is no longer what the caller expected; nothing was changed."""


class Unavailable(WatchkeeperError):
    """Something that was needed (registry, log, database) is down."""
