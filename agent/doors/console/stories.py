"""Everything that a page shows of some incidents, read in a few queries however many incidents there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.doors.console.strip import Story
from agent.store.tables import Alert, Approval, Diagnosis, Execution, Incident, Proposal, Report, Verification


def read_stories(session: Session, incidents: Sequence[Incident]) -> list[Story]:
    """One story for each incident, in the order given."""
    stories = {incident.id: Story(incident) for incident in incidents}
    for alert in session.scalars(
        select(Alert).where(Alert.incident_id.in_(stories)).order_by(Alert.first_seen, Alert.id)
    ):
        stories[alert.incident_id].alerts.append(alert)
    for found in session.scalars(select(Diagnosis).where(Diagnosis.incident_id.in_(stories)).order_by(Diagnosis.at)):
        stories[found.incident_id].diagnosis = found
    for report in session.scalars(select(Report).where(Report.incident_id.in_(stories))):
        if report.incident_id:
            stories[report.incident_id].report = report
    proposals = session.scalars(
        select(Proposal).where(Proposal.incident_id.in_(stories)).order_by(Proposal.created_at, Proposal.id)
    ).all()
    wanted = [proposal.id for proposal in proposals]
    approvals: dict[str, list[Approval]] = defaultdict(list)
    for approval in session.scalars(select(Approval).where(Approval.proposal_id.in_(wanted)).order_by(Approval.at)):
        approvals[approval.proposal_id].append(approval)
    runs = {run.proposal_id: run for run in session.scalars(select(Execution).where(Execution.proposal_id.in_(wanted)))}
    checks = {
        check.proposal_id: check
        for check in session.scalars(select(Verification).where(Verification.proposal_id.in_(wanted)))
    }
    for proposal in proposals:
        story = stories[proposal.incident_id or ""]
        story.proposals.append(proposal)
        story.approvals[proposal.id] = approvals[proposal.id]
        if proposal.id in runs:
            story.executions[proposal.id] = runs[proposal.id]
        if proposal.id in checks:
            story.verifications[proposal.id] = checks[proposal.id]
    return list(stories.values())
