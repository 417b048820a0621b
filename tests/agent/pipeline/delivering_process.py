"""A process that delivers, and says `now` at the moment in which the test kills it.

Arguments: database, Slack's address, the time, and the moment.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path

from agent.domain.policy import Policy
from agent.pipeline import notify
from agent.pipeline.services import Services
from agent.store.session import Store
from notifications.journal import Journal
from notifications.message import Message, Receipt
from notifications.slack import Slack


class Dying(Slack):
    """Slack, up to one moment of the first message to #c0."""

    def deliver(self, message: Message) -> Receipt:
        if message.recipient != "#c0":
            time.sleep(60)
        if sys.argv[4] == "after it arrived":
            super().deliver(message)
        sys.stdout.write("now\n")
        sys.stdout.flush()
        time.sleep(60)
        raise AssertionError("the test should have killed this process")


if __name__ == "__main__":
    at = datetime.fromisoformat(sys.argv[3])
    services = Services(
        home=Path(),
        store=Store(sys.argv[1]),
        log=None,
        registry=None,
        policy=Policy,
        channel=Journal(Path("/dev/null")),
        wall=lambda: at,
        channels={"slack": Dying("xoxb-loopback", sys.argv[2], pace=0.0)},
    )
    notify.serve(services, "slack", "#c0") if notify._due(services) else None
