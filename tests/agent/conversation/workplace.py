"""A workspace with one incident in its records, and a desk to talk at it: real store, real tools, a model to choose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agent.conversation.deadline import Stop
from agent.conversation.desk import Caller, Desk, Event
from agent.conversation.llm import LanguageModels, configured
from agent.pipeline.desk import desk_of
from agent.pipeline.services import Services
from agent.store.session import Store
from agent.store.tables import Control
from ml.data.prediction_log import PredictionLog
from ml.models.registry import Registry
from notifications.journal import Journal
from tests.agent.conftest import POLICY
from tests.agent.reports.story import Story, day
from tests.furnish import furnish

NOW = day(45)
ADA = Caller("ada", "person", None, may_propose=True)


@dataclass
class Workplace:
    """incident, diagnosis: their ids."""

    services: Services
    incident: str
    diagnosis: str

    def desk(self, models: LanguageModels | None = None) -> Desk:
        return desk_of(replace(self.services, llm=models or LanguageModels()))


@contextmanager
def workplace(folder: Path, address: str | None = None) -> Iterator[Workplace]:
    store = Store(address or f"sqlite:///{folder / 'watchkeeper.db'}")
    furnish(store)
    with store.write() as session:
        story = Story(session).watched().opened()
        diagnosis = story.diagnosed()
        session.get_one(Control, 1).replayed_now = NOW
        incident = story.incident.id
        found = diagnosis.id
    services = Services(
        home=folder,
        store=store,
        log=PredictionLog(str(folder / "log")),
        registry=Registry(f"sqlite:///{folder / 'mlflow.db'}"),
        policy=lambda: POLICY,
        channel=Journal(folder / "notifications.jsonl"),
        wall=lambda: NOW,
        public_url="http://127.0.0.1:8000",
    )
    yield Workplace(services, incident, found)
    store.close()


def models(url: str, chain: str = "openai:gpt-4.1-mini", deadline: str = "5", **more: str) -> LanguageModels:
    return configured(chain, key="sk-test-0123456789", base_url=url, deadline=deadline, **more)


class Heard(list[Event]):
    """A listener that keeps what it heard."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def text(self) -> str:
        """What a person saw grow, as far as nothing replaced it."""
        shown = ""
        for event in self:
            shown = "" if event.data.get("restart") else shown + event.text * (event.kind == "token")
        return shown


__all__ = ["ADA", "NOW", "Heard", "Stop", "Workplace", "models", "workplace"]
