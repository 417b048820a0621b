"""A thread that stands back does so alone, and what it starts stands back with it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from ml.serving.priority import stand_back


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux only")
def test_only_the_thread_that_stands_back_and_its_children_do() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    seen: list[int] = []

    def work() -> None:
        stand_back()
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        command = [sys.executable, "-c", "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"]
        seen.append(int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [min(19, before + 10)] * 2
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
