"""`GET /metrics`: how things stand, for Prometheus. What is of a model is told to who may see that model."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from agent.domain.incident import IncidentState
from agent.doors.access import Principal, PrincipalDep, needs, within
from agent.doors.api.inputs import ServicesDep
from agent.store import queries
from agent.store.tables import (
    Alert,
    AuditHead,
    Delivery,
    InboundEvent,
    Incident,
    MeasurementRow,
    Model,
    MonitorRun,
    Proposal,
)

if TYPE_CHECKING:
    from prometheus_client.core import Metric

router = APIRouter(tags=["health"])


class _Standing:
    """What is counted when somebody asks: a few queries, whatever the number of models."""

    def __init__(self, session: Session, principal: Principal) -> None:
        self._session, self._principal = session, principal

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        def gauge(name: str, said: str, labels: tuple[str, ...], rows: Iterable[Any]) -> Metric:
            family = GaugeMetricFamily(f"watchkeeper_{name}", said, labels=labels)
            for *named, value in rows:
                if value is not None:
                    family.add_metric([str(one) for one in named], _plain(value))
            return family

        ask, see = self._session.execute, self._seen
        models = self._session.scalar(see(select(func.count()).select_from(Model), Model.name))
        yield gauge("models", "Models under watch.", (), [(models,)])
        looked = select(MonitorRun.model, func.max(MonitorRun.window_end)).group_by(MonitorRun.model)
        yield gauge(
            "last_look_seconds", "End of the latest window looked at.", ("model",), ask(see(looked, MonitorRun.model))
        )
        yield gauge(
            "measurement",
            "The latest number of each monitor of a whole model.",
            ("model", "monitor"),
            ask(self._latest()),
        )
        incidents = select(Incident.model, Incident.severity, func.count()).where(
            Incident.state != IncidentState.RESOLVED
        )
        incidents = incidents.group_by(Incident.model, Incident.severity)
        told = ask(see(incidents, Incident.model))
        yield gauge("incidents_open", "Incidents that are not resolved.", ("model", "severity"), told)
        firing = select(Alert.model, Alert.severity, func.count()).where(Alert.cleared_at.is_(None))
        firing = firing.group_by(Alert.model, Alert.severity)
        yield gauge("alerts_firing", "Alerts that fire.", ("model", "severity"), ask(see(firing, Alert.model)))
        proposals = select(Proposal.model, Proposal.state, func.count()).group_by(Proposal.model, Proposal.state)
        yield gauge("proposals", "Proposals by state.", ("model", "state"), ask(see(proposals, Proposal.model)))
        yield gauge("frozen", "1 while the kill switch is on.", (), [(int(queries.control(self._session).frozen),)])
        if self._principal.models is None:
            sent = select(Delivery.channel, Delivery.state, func.count()).group_by(Delivery.channel, Delivery.state)
            yield gauge("deliveries", "Messages out, by state.", ("channel", "state"), ask(sent))
            came = select(InboundEvent.source, InboundEvent.state, func.count())
            came = came.group_by(InboundEvent.source, InboundEvent.state)
            yield gauge("inbound", "Events from outside that are kept, by state.", ("source", "state"), ask(came))
            yield gauge("audit_events", "Events of the audit.", (), ask(select(AuditHead.seq)))

    def _seen(self, query: Any, column: Any) -> Any:
        """A query without what is of models that whoever asks may not see."""
        return query.where(within(self._principal, self._session, column))

    def _latest(self) -> Any:
        """The latest number of each monitor: of the whole window, not of a feature or a slice."""
        row = MeasurementRow
        newest = select(row.model, row.monitor, func.max(row.window_end).label("end"))
        newest = newest.where(row.value.is_not(None), row.feature.is_(None), row.segment.is_(None))
        found = newest.group_by(row.model, row.monitor).subquery()
        same = and_(row.model == found.c.model, row.monitor == found.c.monitor, row.window_end == found.c.end)
        query = select(row.model, row.monitor, row.value).join(found, same)
        return self._seen(query.where(row.feature.is_(None), row.segment.is_(None)), row.model)


def _plain(value: Any) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value)


@router.get(
    "/metrics",
    dependencies=[needs("viewer")],
    summary="How things stand, for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"example": "watchkeeper_frozen 0.0\n"}}, "description": "gauges"}},
)
def show_metrics(services: ServicesDep, principal: PrincipalDep) -> Response:
    """Where people sign in, Prometheus comes with a token of scope `read`: `authorization: {credentials_file: …}`."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import generate_latest

    registry = CollectorRegistry()
    with services.store.read() as session:
        registry.register(_Standing(session, principal))
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")
