"""An edit of what somebody else has changed meanwhile: 412, nothing is done."""

from __future__ import annotations

from agent.domain.errors import Conflict


class Changed(Conflict):
    """The ETag that came with an edit is not that of the record any more."""
