"""The one place that chooses the real things."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from agent.conversation import llm
from agent.domain.addresses import is_loopback, split_bind
from agent.domain.errors import InvalidInput, Unavailable
from agent.domain.policy import load_policy
from agent.domain.signing import Provider, SignIn, parse_provider
from agent.pipeline.channels import channels
from agent.pipeline.letters import COMPOSERS
from agent.pipeline.push import Devices, push_contact
from agent.pipeline.routes_file import routes_of
from agent.pipeline.services import Services
from agent.pipeline.slack_app import API_URL, SlackApp
from agent.settings import Settings, for_children
from agent.store.migrate import require_current, upgrade
from agent.store.session import Store
from ml.data.prediction_log import PredictionLog
from ml.models.registry import Registry
from notifications.journal import Journal

SHORTEST_SECRET = 32


def wall() -> datetime:
    return datetime.now(UTC)


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
    notifications = routes_of(settings.home)
    return Services(
        home=settings.home,
        store=store,
        log=PredictionLog(settings.log_uri),
        registry=Registry(settings.mlflow_uri),
        policy=lambda: load_policy(settings.policy_file),
        channel=Journal(settings.home / "notifications.jsonl"),
        wall=wall,
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
        channels=channels(
            settings.home,
            notifications,
            wall,
            slack_token=settings.slack_bot_token,
            slack_url=settings.slack_api_url,
            smtp_url=settings.smtp_url,
            smtp_from=settings.smtp_from,
            webhook_secret=settings.webhook_secret,
            devices=Devices(store, secret_of(settings), contact=push_contact(settings.public_url)),
        ),
        composers=COMPOSERS,
        notifications=notifications,
        alerts_secrets=tuple(settings.alerts_secret.replace(",", " ").split()),
        secret=secret_of(settings),
        slack=SlackApp(
            settings.slack_bot_token,
            settings.slack_app_token,
            settings.slack_signing_secret,
            settings.slack_api_url or API_URL,
        ),
        sign_in=SignIn(required=can_be_reached(settings), provider=provider_of(settings)),
    )


def can_be_reached(settings: Settings) -> bool:
    """Whether other machines may reach the console: by the address that it listens on, or by the one that is given out.

    Raises: InvalidInput for an address that is none.
    """
    public = urlsplit(settings.public_url)
    if public.scheme not in ("http", "https") or not public.hostname:
        raise InvalidInput(
            f"WATCHKEEPER_PUBLIC_URL: {settings.public_url!r} is no address such as https://watch.example.org."
        )
    return not is_loopback(split_bind(settings.bind)[0]) or not is_loopback(public.hostname)


def provider_of(settings: Settings) -> Provider | None:
    """The OpenID provider of the settings."""
    return parse_provider(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret,
        name=settings.oidc_name,
        newcomers=settings.oidc_newcomers,
        roles_claim=settings.oidc_roles_claim,
        roles=settings.oidc_roles,
        name_claim=settings.oidc_name_claim,
    )


def secret_of(settings: Settings) -> bytes:
    """WATCHKEEPER_SECRET_KEY, else that of the home's file, which is made when it is not there, for its owner alone.

    Raises: InvalidInput for one that is too short, Unavailable when the file cannot be read or made.
    """
    if settings.secret_key:
        if len(settings.secret_key) < SHORTEST_SECRET:
            raise InvalidInput(
                f"WATCHKEEPER_SECRET_KEY has fewer than {SHORTEST_SECRET} characters; make one with "
                "`python -c 'import secrets; print(secrets.token_hex(32))'`."
            )
        return settings.secret_key.encode()
    path = settings.home / "secret.key"
    try:
        if not path.exists():
            _make_secret(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return path.read_bytes().strip()
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be used ({error.strerror}); set WATCHKEEPER_SECRET_KEY, or correct the folder's rights."
        ) from None


def _make_secret(path: Path) -> None:
    """Whole or not at all, and the first of two processes wins."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    made.touch(mode=0o600)
    try:
        made.write_text(secrets.token_hex(32), encoding="ascii")
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink()
