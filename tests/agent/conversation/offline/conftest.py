from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.conversation.offline.workspace import Workspace, workspace


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Read by every test here; what is proposed is kept in a list and files nothing."""
    folder: Path = tmp_path_factory.mktemp("offline")
    return workspace(folder)
