"""An answer in a thread while it is made: streamed where the workspace has it, by edits where it has not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from agent.conversation.desk import Event
from agent.conversation.spoken import remainder
from agent.domain.errors import Unavailable
from agent.doors.slack.handle.asked import Asked, Refusal, call
from agent.doors.slack.handle.spoken import pieces, to_markdown, to_mrkdwn
from agent.pipeline.services import Services
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack.text import size

log = logging.getLogger(__name__)
PAUSE = 0.8
"""Seconds between two pieces: Slack takes about a hundred a minute."""
PIECE, WHOLE, SECTION = 3000, 11_000, 2900
"""Of one piece, and of a whole answer; a longer one goes along as a file."""
STATUS = 100


class Writer:
    """A listener that writes into one message. `reference` is where, once there is something."""

    def __init__(
        self,
        services: Services,
        asked: Asked,
        thread: str,
        *,
        reference: str = "",
        began: Callable[[str], None] = lambda reference: None,
        stop_key: str = "",
    ) -> None:
        self._services, self._asked, self._thread = services, asked, thread
        self.reference, self._began, self._stop_key = reference, began, stop_key
        self._streams = not reference
        self._waiting = self._shown = ""
        self._held = False
        self._next = 0.0
        self._status = ""

    def __call__(self, event: Event) -> None:
        if event.data.get("restart") and self._shown:
            self._held = True  # what was said cannot be taken back in a stream: the whole answer replaces it at the end
        if event.kind == "token" and not self._held:
            self._waiting += event.text
            if time.monotonic() >= self._next:
                self._flush()
        elif event.kind == "status" and event.text:
            self.status(event.text)

    def status(self, text: str) -> None:
        """What is being done, beside the conversation. A workspace without it goes without."""
        text = text[:STATUS]
        if text == self._status:
            return
        self._status = text
        try:
            arguments = {"channel_id": self._asked.channel, "thread_ts": self._thread, "status": text}
            call(self._services, "assistant_threads_setStatus", **arguments)
        except (Refusal, Unavailable) as error:
            log.debug("status: %s", error)

    def finish(self, text: str, blocks: list[kit.Block]) -> None:
        """The whole answer, with what stands under it. Raises: Unavailable."""
        whole = text if size(text) <= WHOLE else text[: WHOLE - 100].rsplit(" ", 1)[0] + " … (the whole is in the file)"
        rest = remainder(whole, self._shown + self._waiting) if not self._held else None
        if rest is not None:
            rest = self._waiting + rest
        url = self._services.public_url
        try:
            if self._streams and (rest is not None or not self.reference):
                self._end_stream(rest if rest is not None else whole, blocks)
            else:
                if self._streams:
                    self._do("chat_stopStream", ts=self._ts())
                self._write(to_mrkdwn(whole, url), _sections(to_mrkdwn(whole, url)) + blocks)
        finally:
            self.status("")
        if size(text) > WHOLE:
            self._attach(text)

    def _flush(self) -> None:
        text, self._waiting = self._waiting, ""
        if not text:
            return
        try:
            if self._streams:
                for part in pieces(to_markdown(text, self._services.public_url), PIECE):
                    self._grow(part)
            if not self._streams:
                shown = to_mrkdwn(self._shown + text, self._services.public_url)
                self._write(shown, [*_sections(shown), *self._stop_button()])
        except Unavailable as error:  # a piece that did not arrive comes with the whole
            log.info("a piece of an answer: %s", error)
            self._held = self._held or self._streams
        self._shown += text
        self._next = time.monotonic() + PAUSE

    def _grow(self, part: str) -> None:
        """Append to the stream, or begin it; a workspace that refuses to gets edits from now on."""
        try:
            if self.reference:
                self._do("chat_appendStream", ts=self._ts(), markdown_text=part)
            else:
                self._start(part)
        except Refusal as error:
            log.info("no stream in %s: %s", self._asked.channel, error)
            self._streams = False

    def _start(self, part: str) -> None:
        asked = self._asked
        answer = self._do(
            "chat_startStream",
            thread_ts=self._thread,
            markdown_text=part,
            recipient_team_id=asked.team,
            recipient_user_id=asked.user,
        )
        self._found(answer)

    def _end_stream(self, rest: str, blocks: list[kit.Block]) -> None:
        parts = pieces(to_markdown(rest, self._services.public_url), PIECE)
        for part in parts:
            self._grow(part)
            if not self._streams:
                break
        if self._streams and self.reference:
            try:
                self._do("chat_stopStream", ts=self._ts(), blocks=blocks)
                return
            except Refusal as error:
                log.info("the stream in %s did not end: %s", self._asked.channel, error)
        shown = to_mrkdwn(self._shown + rest, self._services.public_url)
        self._write(shown, _sections(shown) + blocks)

    def _write(self, text: str, blocks: list[kit.Block]) -> None:
        """The message as it is now, posted or edited."""
        body = {"text": kit.shortened(text, kit.FALLBACK), "blocks": kit.fitted(blocks)}
        try:
            if self.reference:
                self._do("chat_update", ts=self._ts(), **body)
            else:
                quiet = {"unfurl_links": False, "unfurl_media": False}
                self._found(self._do("chat_postMessage", thread_ts=self._thread, **body, **quiet))
        except Refusal as error:
            log.warning("an answer in %s was refused: %s", self._asked.channel, error)

    def _stop_button(self) -> list[kit.Block]:
        return [kit.actions([kit.button("Stop", "stop", self._stop_key)])] if self._stop_key else []

    def _attach(self, text: str) -> None:
        try:
            call(
                self._services,
                "files_upload_v2",
                content=text,
                filename="answer.md",
                channel=self._asked.channel,
                thread_ts=self._thread,
            )
        except (Refusal, Unavailable) as error:
            log.warning("the whole answer could not be attached: %s", error)

    def _found(self, answer: Mapping[str, Any]) -> None:
        self.reference = f"{answer.get('channel') or self._asked.channel}/{answer.get('ts')}"
        self._began(self.reference)

    def _ts(self) -> str:
        return self.reference.rpartition("/")[2]

    def _do(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        return call(self._services, method, channel=self._asked.channel, **arguments)


def _sections(text: str) -> list[kit.Block]:
    return [kit.section(part) for part in pieces(text, SECTION)]
