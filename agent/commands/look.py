"""`model list/show`, `incident list/show`: what there is, and what came of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.commands.output import console, number, spark, styled, table, when
from agent.commands.queue import plain_proposal
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Alert, AuditEvent, Incident, MeasurementRow, Model, Proposal, Verification
from ml.models.registry import CHAMPION
from ml.spec import ModelSpec


def list_models(services: Services) -> list[dict[str, Any]]:
    """Every model with its champion, its latest metric and what is open."""
    with services.store.read() as session:
        return [_model_line(services, session, spec) for spec in queries.specs(session).values()]


def _model_line(services: Services, session: Session, spec: ModelSpec) -> dict[str, Any]:
    champion = services.registry.alias(spec.name, CHAMPION)
    incident = queries.unresolved_incident(session, spec.name)
    proposal = queries.live_proposal(session, spec.name)
    run = queries.latest_run(session, spec.name)
    series = metric_series(session, spec)
    return {
        "model": spec.name,
        "task": str(spec.task),
        "metric": spec.metric,
        "value": series[-1]["value"] if series else None,
        "series": series,
        "champion": champion,
        "last_look": run.window_end if run else None,
        "rows": run.rows if run else 0,
        "incident": incident and {"id": incident.id, "state": incident.state, "title": incident.title},
        "proposal": proposal and {"id": proposal.id, "action": proposal.kind, "state": proposal.state},
    }


def metric_series(session: Session, spec: ModelSpec, limit: int = 30) -> list[dict[str, Any]]:
    """The latest values of a model's headline metric, in order of time."""
    rows = session.scalars(
        select(MeasurementRow)
        .where(MeasurementRow.model == spec.name, MeasurementRow.monitor == f"performance.{spec.metric}")
        .order_by(MeasurementRow.window_end.desc())
        .limit(limit)
    ).all()
    return [
        {"at": row.window_end, "value": row.value, "low": row.low, "high": row.high, "n": row.n, "status": row.status}
        for row in reversed(rows)
    ]


def render_models(models: list[dict[str, Any]]) -> None:
    if not models:
        console.print("No model yet. Add one with `watchkeeper model add SPEC.yaml`.")
        return
    rows = table("model", "state", "metric", "trend", "champion", "last look (UTC)", "what is open")
    for m in models:
        state = m["incident"]["state"] if m["incident"] else ("ok" if m["last_look"] else "not looked at")
        opened = m["proposal"] or m["incident"]
        what = f"{opened['id']} {opened.get('action', '')}".strip() if opened else ""
        trend = spark([point["value"] for point in m["series"]])
        rows.add_row(
            m["model"],
            styled(state),
            f"{m['metric']} {number(m['value'])}",
            trend,
            m["champion"] or "-",
            when(m["last_look"]),
            what,
        )
    console.print(rows)


def show_model(services: Services, name: str) -> dict[str, Any]:
    """One model: its line, its versions, the latest measurements, incidents and deployments."""
    with services.store.read() as session:
        spec = queries.spec_of(session, name)
        registered = session.get_one(Model, name)
        run = queries.latest_run(session, name)
        latest = session.scalars(select(MeasurementRow).where(MeasurementRow.run_id == run.id)).all() if run else []
        incidents = session.scalars(
            select(Incident).where(Incident.model == name).order_by(Incident.opened_at.desc()).limit(10)
        )
        return {
            **_model_line(services, session, spec),
            "registered_at": registered.registered_at,
            "versions": [
                {
                    "version": v.version,
                    "created_at": v.created_at,
                    "metrics": v.metrics,
                    "data_version": v.data_version,
                    "aliases": list(v.aliases),
                }
                for v in services.registry.versions(name)
            ],
            "measurements": [
                {
                    "monitor": m.monitor,
                    "feature": m.feature,
                    "value": m.value,
                    "n": m.n,
                    "status": m.status,
                    "detail": m.detail,
                }
                for m in latest
            ],
            "incidents": [plain_incident(row) for row in incidents],
            "deployments": queries.deployments(session, name),
        }


def render_model(m: dict[str, Any]) -> None:
    render_models([m])
    if m["versions"]:
        rows = table("version", "made (UTC)", "data", "metrics", "alias", title="Versions")
        for v in m["versions"]:
            metrics = ", ".join(f"{name} {number(value)}" for name, value in sorted(v["metrics"].items())[:3])
            rows.add_row(
                v["version"], when(v["created_at"]), (v["data_version"] or "-")[:20], metrics, ", ".join(v["aliases"])
            )
        console.print(rows)
    if m["measurements"]:
        rows = table("monitor", "column", "value", "rows", "status", title="Latest look")
        for item in m["measurements"]:
            rows.add_row(
                item["monitor"], item["feature"] or "", number(item["value"]), str(item["n"]), styled(item["status"])
            )
        console.print(rows)
    render_incidents(m["incidents"])


def plain_incident(row: Incident) -> dict[str, Any]:
    return {
        "id": row.id,
        "model": row.model,
        "state": row.state,
        "severity": row.severity,
        "title": row.title,
        "opened_at": row.opened_at,
        "resolved_at": row.resolved_at,
        "resolution": row.resolution,
    }


def list_incidents(services: Services, *, open_only: bool) -> list[dict[str, Any]]:
    with services.store.read() as session:
        query = select(Incident).order_by(Incident.opened_at.desc()).limit(50)
        if open_only:
            query = query.where(Incident.state != "resolved")
        return [plain_incident(row) for row in session.scalars(query)]


def render_incidents(incidents: list[dict[str, Any]]) -> None:
    if not incidents:
        console.print("No incident.", style="dim")
        return
    rows = table("incident", "model", "state", "opened (UTC)", "what", title="Incidents")
    for item in incidents:
        rows.add_row(item["id"], item["model"], styled(item["state"]), when(item["opened_at"]), item["title"])
    console.print(rows)


def show_incident(services: Services, wanted: str) -> dict[str, Any]:
    """One incident with its alerts, its latest diagnosis, its proposals and the timeline."""
    with services.store.read() as session:
        incident = queries.by_id(session, Incident, wanted)
        diagnosis = queries.latest_diagnosis(session, incident.id)
        proposals = session.scalars(
            select(Proposal).where(Proposal.incident_id == incident.id).order_by(Proposal.created_at)
        ).all()
        subjects = [incident.id, *(p.id for p in proposals)]
        events = session.scalars(select(AuditEvent).where(AuditEvent.subject.in_(subjects)).order_by(AuditEvent.seq))
        alerts = session.scalars(select(Alert).where(Alert.incident_id == incident.id).order_by(Alert.first_seen))
        verdicts = {
            v.proposal_id: v.document
            for v in session.scalars(
                select(Verification).where(Verification.proposal_id.in_([p.id for p in proposals]))
            )
        }
        return {
            **plain_incident(incident),
            "alerts": [
                {
                    "monitor": a.monitor,
                    "feature": a.feature,
                    "severity": a.severity,
                    "detail": a.detail,
                    "looks": a.looks,
                }
                for a in alerts
            ],
            "diagnoses": session.scalar(
                select(func.count())
                .select_from(AuditEvent)
                .where(AuditEvent.subject == incident.id, AuditEvent.event == "incident diagnosed")
            ),
            "diagnosis": diagnosis.document if diagnosis else None,
            "proposals": [{**plain_proposal(session, p), "verification": verdicts.get(p.id)} for p in proposals],
            "timeline": [
                {"at": e.at, "actor": e.actor, "event": e.event, "reason": e.data.get("reason", "")} for e in events
            ],
        }


def render_incident(item: dict[str, Any]) -> None:
    console.print(
        f"[bold]{item['id']}[/] {item['model']}: {styled(item['state'])}, {item['severity']}, "
        f"opened {when(item['opened_at'])} UTC"
    )
    console.print(item["title"], markup=False)
    for alert in item["alerts"]:
        console.print(f"  {styled(alert['severity'])} {alert['monitor']} {alert['feature'] or ''}: {alert['detail']}")
    if diagnosis := item["diagnosis"]:
        render_diagnosis(diagnosis)
    for proposal in item["proposals"]:
        decided = f" by {proposal['decided_by']}" if proposal["decided_by"] else ""
        console.print(
            f"Proposal [bold]{proposal['id']}[/] {proposal['action']['kind']}: "
            f"{styled(proposal['state'])}{decided}. {proposal['reason']}"
        )
        if proposal["verification"]:
            console.print(f"  {proposal['verification'].get('statement', '')}", markup=False)
    rows = table("when (UTC)", "who", "what", "why", title="Timeline")
    for event in item["timeline"]:
        rows.add_row(when(event["at"]), event["actor"], event["event"], event["reason"])
    console.print(rows)


def render_diagnosis(document: dict[str, Any]) -> None:
    """The ranked causes with the evidence they rest on, the action, and what was not looked at."""
    evidence = {fact["id"]: fact for fact in document["evidence"]}
    for cause in document["causes"][:3]:
        onset = f", since {when(cause['onset'])} UTC" if cause["onset"] else ""
        features = f" in {', '.join(cause['features'])}" if cause["features"] else ""
        console.print(f"[bold]{cause['probability']:.0%}[/] {cause['cause'].replace('_', ' ')}{features}{onset}")
        for sign, ids in (("for", cause["supports"]), ("against", cause["contradicts"])):
            for number_ in ids:
                if number_ in evidence:
                    console.print(f"    {sign} [cyan]{number_}[/] {evidence[number_]['statement']}")
    console.print(f"Action: [bold]{document['action']['kind']}[/]. {document['action']['why']}")
    narrative = document.get("narrative") or {}
    if narrative.get("by", "template") != "template":
        console.print(narrative["text"], markup=False)
    if narrative.get("label"):
        console.print(f"({narrative['label']})", style="dim", markup=False)
    for gap in document["not_checked"]:
        console.print(f"Not checked: {gap['what']} ({gap['why']})", style="dim")
