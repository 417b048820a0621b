"""Socket Mode: outgoing connections that Slack sends events over; nothing of ours needs to be reached from outside.

slack_sdk's client keeps one connection and opens a new one when Slack says `disconnect`. We hold two, so that there is
one while another is renewed; Slack sends an event over any of them, and to any replica.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from agent.doors.slack.parse import Malformed, from_socket
from agent.doors.slack.receive import Reception
from agent.pipeline.intake import Kept

if TYPE_CHECKING:
    from slack_sdk.socket_mode.builtin import SocketModeClient

SOCKETS = 2
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
log = logging.getLogger(__name__)


class SocketMode:
    """The sockets of one process; `start()` returns at once, and they are opened again whatever happens."""

    def __init__(self, reception: Reception, *, sockets: int = SOCKETS) -> None:
        self._reception = reception
        self._over = threading.Event()
        self._clients: list[SocketModeClient] = []
        self._threads = [
            threading.Thread(target=self._hold, name=f"slack-socket-{number}", daemon=True) for number in range(sockets)
        ]

    def start(self) -> SocketMode:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(5)

    @property
    def connected(self) -> int:
        return sum(client.is_connected() for client in list(self._clients))

    def _hold(self) -> None:
        """One connection, opened again whenever it is lost and its client has not opened it by itself."""
        client = self._client()
        self._clients.append(client)
        pause = FIRST_PAUSE
        while not self._over.is_set():
            if client.is_connected():
                pause = FIRST_PAUSE
                self._over.wait(1)
                continue
            try:
                client.connect_to_new_endpoint()
            except Exception as error:  # noqa: BLE001 (the client raises what its socket, its parser and Slack do)
                log.warning("Slack's socket cannot be opened (%s); next try in %.0f s", error, pause)
                self._over.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        self._clients.remove(client)
        client.close()

    def _client(self) -> SocketModeClient:
        from slack_sdk.socket_mode.builtin import SocketModeClient
        from slack_sdk.socket_mode.client import BaseSocketModeClient
        from slack_sdk.socket_mode.request import SocketModeRequest

        slack = self._reception.services.slack
        client = SocketModeClient(slack.app_token, web_client=slack.client(), logger=log.getChild("client"))
        client.logger.setLevel(logging.CRITICAL)  # what it says as an error it mends by itself; `_hold` says the rest

        def listen(connection: BaseSocketModeClient, request: SocketModeRequest) -> None:
            self._receive(connection, request.type, request.envelope_id, request.payload)

        client.socket_mode_request_listeners.append(listen)
        return client

    def _receive(self, connection: Any, kind: str, envelope: str, payload: Any) -> None:
        try:
            came = from_socket(kind, payload, envelope)
        except Malformed as error:
            log.warning("Slack: an envelope that cannot be used: %s", error)
            _acknowledge(connection, envelope, {})
            return
        if wrong := self._reception.corrections(came):
            _acknowledge(connection, envelope, {"response_action": "errors", "errors": wrong})
            return

        def kept(future: Future[Kept]) -> None:
            problem = future.exception()
            if problem is None:
                _acknowledge(connection, envelope, {})
            else:
                log.error("Slack: %s; not acknowledged, so that it is sent again", problem)

        self._reception.keep(came).add_done_callback(kept)


def _acknowledge(connection: Any, envelope: str, payload: dict[str, Any]) -> None:
    from slack_sdk.socket_mode.response import SocketModeResponse

    try:
        connection.send_socket_mode_response(SocketModeResponse(envelope, payload or None))
    except Exception as error:  # noqa: BLE001 (as above; what is not acknowledged is sent again, and known by its key)
        log.warning("Slack: could not acknowledge (%s)", error)
