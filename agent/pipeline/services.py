"""What every step works with. Built once, by `agent.bootstrap`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.conversation.llm import LanguageModels
from agent.domain.notifying import Notifications
from agent.domain.policy import Policy
from agent.domain.signing import SignIn
from agent.pipeline.event import Compose
from agent.pipeline.slack_app import SlackApp
from agent.store.session import Store
from agent.store.tables import Control
from ml.data.prediction_log import PredictionLog
from ml.models.registry import Registry
from notifications.message import Channel


@dataclass(frozen=True)
class Services:
    """The workspace's parts. `wall` is the real clock (leases, time-outs); `now` may be a replayed one.

    `child_environment` is what a trainer's process may see of ours; None is all of it. `cluster` is the address of the
    Dask scheduler that large windows are counted on; "" is this process. `llm` are the language models, `public_url`
    is where the console is reached. `secret` signs what goes through browsers; `sign_in` says how people come in.
    `slack` is the app's tokens, and its client. `channel` is the journal, which is told everything; `channels` are the
    others, by name, `composers` what makes their posts of an event (none: its title and body), `notifications` who is
    told what; `alerts_secrets` open the door to alerts of other programs.
    """

    home: Path
    store: Store
    log: PredictionLog
    registry: Registry
    policy: Callable[[], Policy]
    channel: Channel
    wall: Callable[[], datetime]
    child_environment: Mapping[str, str] | None = None
    cluster: str = ""
    llm: LanguageModels = field(default_factory=LanguageModels)
    public_url: str = ""
    channels: Mapping[str, Channel] = field(default_factory=dict)
    composers: Mapping[str, Compose] = field(default_factory=dict)
    notifications: Callable[[], Notifications] = Notifications
    alerts_secrets: tuple[str, ...] = field(default=(), repr=False)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    sign_in: SignIn = field(default_factory=SignIn)
    slack: SlackApp = field(default_factory=SlackApp)

    def now(self, session: Session | None = None) -> datetime:
        """The time that the watch lives in: the replayed clock where the workspace has one, else the real one.

        Inside a transaction, give its session: a second connection from a pool that others wait in may never come.
        """
        if session is None:
            with self.store.read() as session:
                return self.now(session)
        return session.scalar(select(Control.replayed_now).where(Control.id == 1)) or self.wall()
