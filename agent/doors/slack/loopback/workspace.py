"""The state of the pretended workspace: people, channels, messages, files, views. No network, no threads of its own."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from agent.doors.slack.loopback.surfaces import ApiError

TEAM, APP, BOT_USER, BOT = "T0LOOPBACK", "A0WATCH", "U0WATCH", "B0WATCH"


@dataclass
class User:
    """A member of the workspace; foreign: of another one, in a shared channel."""

    id: str
    name: str
    real_name: str = ""
    is_bot: bool = False
    deleted: bool = False
    team: str = TEAM
    tz: str = "Etc/UTC"


@dataclass
class Channel:
    """A channel, or a direct conversation (`user` is whom the app talks to there)."""

    id: str
    name: str
    members: set[str] = field(default_factory=set)
    user: str = ""
    archived: bool = False
    private: bool = False

    @property
    def is_im(self) -> bool:
        return bool(self.user)


@dataclass
class Message:
    """One message; `only` is the person who alone sees it. streaming: its text still grows; broadcast: a reply that
    stands in its channel too."""

    channel: str
    ts: str
    user: str
    text: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    markdown: str = ""
    thread_ts: str = ""
    only: str = ""
    broadcast: bool = False
    metadata: dict[str, Any] | None = None
    files: list[str] = field(default_factory=list)
    streaming: bool = False
    stream: bool = False
    edits: int = 0
    deleted: bool = False
    reactions: dict[str, set[str]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As Slack gives it in answers and events."""
        bot = {"bot_id": BOT, "app_id": APP} if self.user == BOT_USER else {}
        given = {
            "blocks": self.blocks,
            "attachments": self.attachments,
            "thread_ts": self.thread_ts,
            "metadata": self.metadata,
            "files": [{"id": item} for item in self.files],
        }
        return {
            "type": "message",
            "ts": self.ts,
            "user": self.user,
            "team": TEAM,
            "text": self.text or self.markdown,
            **bot,
            **{key: value for key, value in given.items() if value},
            **({"edited": {"user": self.user, "ts": self.ts}} if self.edits else {}),
        }


@dataclass
class File:
    """An uploaded file."""

    id: str
    name: str
    length: int
    alt: str = ""
    title: str = ""
    content: bytes | None = None
    shared: bool = False


@dataclass
class View:
    """A modal that is open before somebody, or somebody's App Home."""

    id: str
    user: str
    kind: str
    body: dict[str, Any]
    hash: str
    external_id: str = ""
    root: str = ""
    open: bool = True
    errors: dict[str, str] = field(default_factory=dict)


class Workspace:
    """What there is; `lock` is held by whoever reads or changes it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.messages: list[Message] = []
        self.files: dict[str, File] = {}
        self.views: dict[str, View] = {}
        self.homes: dict[str, View] = {}
        self.triggers: dict[str, tuple[str, float]] = {}
        self.statuses: dict[tuple[str, str], str] = {}
        self.titles: dict[tuple[str, str], str] = {}
        self.prompts: dict[tuple[str, str], list[dict[str, str]]] = {}
        self.version = 0
        self._ids = itertools.count(1)
        self._clock = 0
        self.add_user("watchkeeper", id=BOT_USER, real_name="Watchkeeper", is_bot=True)

    def changed(self) -> None:
        self.version += 1

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._ids):09X}"

    def new_ts(self) -> str:
        """A time stamp that no other message has."""
        self._clock = max(self._clock + 1, int(time.time() * 1_000_000))
        return f"{self._clock // 1_000_000}.{self._clock % 1_000_000:06d}"

    def add_user(self, name: str, **options: Any) -> User:
        options.setdefault("id", self.new_id("U"))
        options.setdefault("real_name", name.capitalize())
        user = User(name=name, **options)
        self.users[user.id] = user
        return user

    def add_channel(self, name: str, *, members: set[str], private: bool = False) -> Channel:
        channel = Channel(self.new_id("C"), name.removeprefix("#"), set(members), private=private)
        self.channels[channel.id] = channel
        self.changed()
        return channel

    def direct(self, user: str) -> Channel:
        """The conversation between the app and a person; made when there is none."""
        found = next((channel for channel in self.channels.values() if channel.user == user), None)
        if found is None:
            found = Channel(self.new_id("D"), self.user(user).name, {user, BOT_USER}, user=user)
            self.channels[found.id] = found
        return found

    def user(self, key: str) -> User:
        """By id or name. Raises: ApiError."""
        found = self.users.get(key) or next((u for u in self.users.values() if u.name == key.removeprefix("@")), None)
        if found is None:
            raise ApiError("user_not_found")
        return found

    def channel(self, key: str) -> Channel:
        """By id or name; a person's id means the conversation with them. Raises: ApiError."""
        if key in self.users:
            return self.direct(key)
        name = key.removeprefix("#")
        found = self.channels.get(key) or next(
            (c for c in self.channels.values() if c.name == name and not c.user), None
        )
        if found is None:
            raise ApiError("channel_not_found")
        return found

    def add_message(self, message: Message) -> Message:
        self.messages.append(message)
        self.statuses.pop((message.channel, message.thread_ts), None)
        self.changed()
        return message

    def message(self, channel: str, ts: str, error: str = "message_not_found") -> Message:
        """Raises: ApiError."""
        for message in reversed(self.messages):
            if message.channel == channel and message.ts == ts and not message.deleted and not message.only:
                return message
        raise ApiError(error)

    def in_channel(self, channel: str, thread: str | None = None, only: str = "") -> list[Message]:
        """The messages that are at the top of a channel, or those of a thread with its root; as `only` sees them."""

        def belongs(message: Message) -> bool:
            if message.channel != channel or message.deleted or message.only not in ("", only):
                return False
            if thread is None:
                return not message.thread_ts or message.thread_ts == message.ts
            return thread in (message.ts, message.thread_ts)

        return [message for message in self.messages if belongs(message)]

    def new_trigger(self, user: str) -> str:
        """What opens a modal for a person, once and within three seconds."""
        trigger = f"{next(self._ids)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self.triggers[trigger] = (user, time.monotonic())
        return trigger

    def take_trigger(self, trigger: str, *, seconds: float = 3.0) -> str:
        """Whose it is. Raises: ApiError when it is unknown, used or too old."""
        known = self.triggers.get(trigger)
        if known is None:
            raise ApiError("invalid_trigger_id")
        user, since = known
        if not user:
            raise ApiError("exchanged_trigger_id")
        if time.monotonic() - since > seconds:
            raise ApiError("expired_trigger_id")
        self.triggers[trigger] = ("", since)
        return user
