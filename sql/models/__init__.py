"""One file a subject; importing this package knows all tables."""

from sql.models.audit import AuditEvent, AuditHead, AuditSeal
from sql.models.base import Base
from sql.models.changes import Approval, Batch, Change, Evidence, KnownAccess, Override, Step
from sql.models.money import Allocation, Invoice, Payment
from sql.models.operators import Operator
from sql.models.people import Person
from sql.models.plans import Plan, PlanVersion
from sql.models.routers import Node, Router, RouterAbility, RouterHealth
from sql.models.services import Hold, Review, Service, Subscriber
from sql.models.sessions import RefusedLogin, Session, SpoolFile, SpoolReject, UsageHour

__all__ = [
    "Allocation",
    "Approval",
    "AuditEvent",
    "AuditHead",
    "AuditSeal",
    "Base",
    "Batch",
    "Change",
    "Evidence",
    "Hold",
    "Invoice",
    "KnownAccess",
    "Node",
    "Operator",
    "Override",
    "Payment",
    "Person",
    "Plan",
    "PlanVersion",
    "RefusedLogin",
    "Review",
    "Router",
    "RouterAbility",
    "RouterHealth",
    "Service",
    "Session",
    "SpoolFile",
    "SpoolReject",
    "Step",
    "Subscriber",
    "UsageHour",
]
