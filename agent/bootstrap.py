"""The one place that chooses the real things."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from agent.conversation import llm
from agent.domain.policy import load_policy
from agent.pipeline.services import Services
from agent.settings import Settings, for_children
from agent.store.migrate import require_current, upgrade
from agent.store.session import Store
from ml.data.prediction_log import PredictionLog
from ml.models.registry import Registry
from notifications.journal import Journal


def build(settings: Settings, *, migrate: bool = False) -> Services:
    """The services of a workspace. Raises: Unavailable when the database is behind and `migrate` is off.

    The workspace is where modules are looked for last: its specs name trainers in it.
    """
    if str(settings.home) not in sys.path:
        sys.path.append(str(settings.home))
    store = Store(settings.database_url)
    if migrate:
        upgrade(store)
    else:
        require_current(store)
    return Services(
        home=settings.home,
        store=store,
        log=PredictionLog(settings.log_uri),
        registry=Registry(settings.mlflow_uri),
        policy=lambda: load_policy(settings.policy_file),
        channel=Journal(settings.home / "notifications.jsonl"),
        wall=lambda: datetime.now(UTC),
        child_environment=for_children(),
        cluster=settings.cluster,
        llm=llm.configured(
            settings.llm,
            key=settings.openai_api_key,
            base_url=settings.openai_base_url,
            deadline=settings.llm_deadline,
            call_deadline=settings.llm_call_deadline,
            answer_budget=settings.llm_answer_budget,
            hourly_budget=settings.llm_hourly_budget,
            daily_budget=settings.llm_daily_budget,
            daily_usd=settings.llm_daily_budget_usd,
            prices=settings.llm_prices,
        ),
        public_url=settings.public_url,
    )
