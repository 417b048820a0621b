"""The channel that always works: one JSON line for each message, in a file of the workspace."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from notifications.message import DeliveryFailed, Message


class Journal:
    """Appends messages to `path`; on disk when `deliver` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def deliver(self, message: Message) -> None:
        line = json.dumps(asdict(message), ensure_ascii=False) + "\n"
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryFailed(f"{self.path}: {error.strerror}") from error
