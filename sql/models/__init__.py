"""One file a subject; importing this package knows all tables."""

from sql.models.audit import AuditEvent
from sql.models.base import Base
from sql.models.changes import Change, Evidence, KnownAccess, Step
from sql.models.money import Allocation, Invoice, Payment
from sql.models.operators import Operator
from sql.models.plans import Plan, PlanVersion
from sql.models.routers import Node, Router
from sql.models.services import Hold, Review, Service, Subscriber
from sql.models.sessions import RefusedLogin, Session, SpoolFile, SpoolReject, UsageHour

__all__ = [
    "Allocation",
    "AuditEvent",
    "Base",
    "Change",
    "Evidence",
    "Hold",
    "Invoice",
    "KnownAccess",
    "Node",
    "Operator",
    "Payment",
    "Plan",
    "PlanVersion",
    "RefusedLogin",
    "Review",
    "Router",
    "Service",
    "Session",
    "SpoolFile",
    "SpoolReject",
    "Step",
    "Subscriber",
    "UsageHour",
]
