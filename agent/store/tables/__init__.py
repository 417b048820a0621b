"""The records. The database holds the invariants too: CHECK, unique and partial unique indexes, version columns."""

from agent.store.tables.base import Base, UtcDateTime, new_id
from agent.store.tables.coming_in import InboundEvent
from agent.store.tables.deciding import Approval, Execution, ExecutionStep, Proposal, Silence, UnfitWindow, Verification
from agent.store.tables.delivering import DELIVERY_STATES, Delivery, Destination, Outbox, Preference, Unsubscribed
from agent.store.tables.devices import Acknowledgement, Device
from agent.store.tables.operating import ApiToken, AuditEvent, AuditHead, Control, Report, Slot, UnfreezeRequest
from agent.store.tables.people import Identity, KeptAnswer, OneTimeCode, Person, WebSession
from agent.store.tables.posting import SlackAnswer, SlackFollowed, SlackPost
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
    "DELIVERY_STATES",
    "Acknowledgement",
    "Alert",
    "ApiToken",
    "Approval",
    "AuditEvent",
    "AuditHead",
    "Base",
    "Control",
    "Conversation",
    "Delivery",
    "Deployment",
    "Destination",
    "Device",
    "Diagnosis",
    "Execution",
    "ExecutionStep",
    "Feedback",
    "HourlyProfile",
    "Identity",
    "InboundEvent",
    "Incident",
    "KeptAnswer",
    "MeasurementRow",
    "Message",
    "Model",
    "MonitorRun",
    "OneTimeCode",
    "Outbox",
    "Person",
    "Preference",
    "Proposal",
    "Report",
    "Silence",
    "SlackAnswer",
    "SlackFollowed",
    "SlackPost",
    "Slot",
    "StoredProfile",
    "UnfitWindow",
    "UnfreezeRequest",
    "Unsubscribed",
    "Usage",
    "UtcDateTime",
    "Verification",
    "WebSession",
    "new_id",
]
