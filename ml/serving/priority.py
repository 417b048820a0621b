"""What answers goes first: everything else of the model server takes the processor that is left."""

from __future__ import annotations

import os
import sys
import threading

STEPS = 10


def stand_back() -> None:
    """Let others go before this thread, and what it starts, from now on. On Linux; elsewhere threads have no priority
    of their own, and nothing is done."""
    if sys.platform == "linux":
        here = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, here, min(19, os.getpriority(os.PRIO_PROCESS, here) + STEPS))
