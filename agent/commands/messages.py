"""`doctor messages`: each way that messages take, with cause and cure in a line. Nothing is sent."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select

from agent.domain.addresses import is_loopback
from agent.domain.errors import InvalidInput, Unavailable, WatchkeeperError
from agent.domain.notifying import FILE, MAIL, SLACK, Notifications
from agent.domain.notifying import load_notifications as load
from agent.pipeline import redeliver
from agent.pipeline.routes_file import secret_text
from agent.settings import Settings, load_settings
from agent.store.session import Store
from agent.store.tables import Delivery, Destination
from notifications.message import DeliveryFailed, Refused

SMTP_CURE = "see WATCHKEEPER_SMTP_URL: smtp://USER:PASSWORD@HOST:587, with %40 for an @ in the name"
RETRY = "cure the cause, then `watchkeeper delivery retry --failed`"


def examine(home: Path | None) -> dict[str, Any]:
    """Every way, one after the other. exit_code: 0 all is well, 2 something is set wrong, 3 something is out of reach.

    Nothing is sent: a mail server is greeted, an address is looked up, a secret is read.
    """
    settings = load_settings(home=home)
    checks = [_check("routes", lambda: _routes(load(settings.home / FILE)), f"correct {FILE}, line by line")]
    routes = load(settings.home / FILE) if checks[0]["ok"] else Notifications()
    checks.append(_check("mail", lambda: _mail(settings, routes), SMTP_CURE))
    checks.append(_check("slack", lambda: _slack(settings, routes), "set SLACK_BOT_TOKEN; docs/how-to/slack.md"))
    checks += [
        _check(f"webhook {name}", partial(_hook, settings, routes, name), f"see `webhooks.{name}` in {FILE}")
        for name in routes.webhooks
    ]
    checks += [
        _check(f"apprise {name}", partial(_apprise, settings, routes, name), f"see `apprise.{name}` in {FILE}")
        for name in routes.apprise
    ]
    checks.append(_check("links", lambda: _links(settings), "set WATCHKEEPER_PUBLIC_URL"))
    checks.append(_check("inbound", lambda: _inbound(settings), "see WATCHKEEPER_ALERTS_SECRET"))
    checks.append(_check("arrived", lambda: _arrived(settings), RETRY))
    codes = [check["exit_code"] for check in checks if not check["ok"]]
    return {"home": settings.home, "checks": checks, "exit_code": max(codes, default=0)}


def summary(settings: Settings) -> str:
    """Routes, settings and what did not arrive, without a look at the net. Raises: InvalidInput, Unavailable."""
    routes = load(settings.home / FILE)
    said = _routes(routes)
    if settings.smtp_url or _goes_by(routes, MAIL):
        _server(settings, routes)
    return f"{said}; {_arrived(settings)}"


def _check(name: str, probe: Callable[[], str], cure: str) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "says": probe(), "cure": "", "exit_code": 0}
    except WatchkeeperError as error:
        code = 2 if isinstance(error, InvalidInput) else 3
        return {"name": name, "ok": False, "says": str(error), "cure": cure, "exit_code": code}
    except (DeliveryFailed, Refused) as error:
        code = 2 if isinstance(error, Refused) else 3
        return {"name": name, "ok": False, "says": f"{error}.", "cure": cure, "exit_code": code}


def _routes(routes: Notifications) -> str:
    if "routes" not in routes.model_fields_set:
        return "no routes are written: the model's owner is told in Slack, and notifications.jsonl keeps everything"
    return "; ".join(f"{one.to} {one.address or 'to the owner'}" for one in routes.routes) or "nobody, by its routes"


def _goes_by(routes: Notifications, channel: str) -> bool:
    return "routes" in routes.model_fields_set and any(route.to == channel for route in routes.routes)


def _server(settings: Settings, routes: Notifications) -> Any:
    """The mail server of the settings; None where there is none, and nobody is told by mail."""
    from notifications.smtp import parse_server

    if not settings.smtp_url:
        if _goes_by(routes, MAIL):
            raise InvalidInput(f"{FILE} has a route by mail, and WATCHKEEPER_SMTP_URL is not set.")
        return None
    try:
        return parse_server(settings.smtp_url, settings.smtp_from)
    except ValueError as error:
        raise InvalidInput(f"WATCHKEEPER_SMTP_URL: {error}.") from None


def _mail(settings: Settings, routes: Notifications) -> str:
    from agent.bootstrap import wall
    from notifications.smtp import Mail

    server = _server(settings, routes)
    return "not set up (WATCHKEEPER_SMTP_URL)" if server is None else Mail(server, wall, seconds=10).greet()


def _slack(settings: Settings, routes: Notifications) -> str:
    if settings.slack_bot_token:
        return "there is a token; `watchkeeper doctor slack` tries it"
    if _goes_by(routes, SLACK):
        raise InvalidInput(f"{FILE} has a route to Slack, and SLACK_BOT_TOKEN is not set.")
    return "not set up (SLACK_BOT_TOKEN)"


def _hook(settings: Settings, routes: Notifications, name: str) -> str:
    from agent.bootstrap import wall
    from agent.pipeline.channels import hooks
    from notifications.addresses import checked
    from notifications.webhook import signed

    hook = hooks(settings.home, routes, settings.webhook_secret)[name]
    signed(hook.secrets, "doctor", wall(), "")
    place = checked(hook.url, private=hook.private)
    return f"{place.name}: the address is known, the secret can sign"


def _apprise(settings: Settings, routes: Notifications, name: str) -> str:
    import apprise

    service = apprise.Apprise.instantiate(
        secret_text(settings.home, routes.apprise[name].url), suppress_exceptions=True
    )
    if service is None:
        raise InvalidInput("Apprise does not know this address; its list: github.com/caronc/apprise/wiki.")
    return f"{getattr(service, 'service_name', 'an address')}: the address can be read"


def _links(settings: Settings) -> str:
    from urllib.parse import urlsplit

    host = urlsplit(settings.public_url).hostname or ""
    if is_loopback(host):
        return f"{settings.public_url}: links in messages open on this machine alone; see WATCHKEEPER_PUBLIC_URL"
    return settings.public_url


def _inbound(settings: Settings) -> str:
    secrets = settings.alerts_secret.replace(",", " ").split()
    if not secrets:
        return "alerts of other programs are not taken (WATCHKEEPER_ALERTS_SECRET is not set)"
    for secret in secrets:
        if len(secret) < 16:
            raise InvalidInput("WATCHKEEPER_ALERTS_SECRET is shorter than 16 characters: anybody may guess it.")
        try:
            base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:  # binascii.Error is one
            return "alerts of Alertmanager and Grafana are taken; to sign, the secret must be `whsec_` and base64"
    return f"alerts of other programs are taken at {settings.public_url.rstrip('/')}/api/v1/webhooks/…"


def _arrived(settings: Settings) -> str:
    """What waits, and what rests because it fails. Raises: Unavailable where something did not arrive."""
    store = Store(settings.database_url)
    try:
        with store.read() as session:
            many = redeliver.counts(session)
            failing = Destination.failures > 0
            broken = session.scalars(select(Destination).where(failing).order_by(Destination.failures.desc())).all()
            query = select(Delivery).where(Delivery.state == "failed").order_by(Delivery.created_at.desc()).limit(1)
            last = session.scalar(query)
            said = [
                f"{row.channel} {row.address} rests after {row.failures} failures: {row.error}" for row in broken[:3]
            ]
            if last is not None:
                said.append(f"{many['failed']} failed, the last to {last.channel} {last.address}: {last.error}")
    finally:
        store.close()
    if said:
        raise Unavailable("; ".join(said) + ".")
    return f"{many.get('delivered', 0)} delivered, {many.get('waiting', 0) + many.get('held', 0)} on their way"
