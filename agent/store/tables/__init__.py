"""The records. The database holds the invariants too: CHECK, unique and partial unique indexes, version columns."""

from agent.store.tables.base import Base, UtcDateTime, new_id
from agent.store.tables.deciding import Approval, Execution, ExecutionStep, Proposal, Silence, UnfitWindow, Verification
from agent.store.tables.operating import ApiToken, AuditEvent, AuditHead, Control, Outbox, Report, Slot, UnfreezeRequest
from agent.store.tables.talking import Conversation, Feedback, Message, Usage
from agent.store.tables.watching import (
    Alert,
    Deployment,
    Diagnosis,
    HourlyProfile,
    Incident,
    MeasurementRow,
    Model,
    MonitorRun,
    StoredProfile,
)

__all__ = [
    "Alert",
    "ApiToken",
    "Approval",
    "AuditEvent",
    "AuditHead",
    "Base",
    "Control",
    "Conversation",
    "Deployment",
    "Diagnosis",
    "Execution",
    "ExecutionStep",
    "Feedback",
    "HourlyProfile",
    "Incident",
    "MeasurementRow",
    "Message",
    "Model",
    "MonitorRun",
    "Outbox",
    "Proposal",
    "Report",
    "Silence",
    "Slot",
    "StoredProfile",
    "UnfitWindow",
    "UnfreezeRequest",
    "Usage",
    "UtcDateTime",
    "Verification",
    "new_id",
]
