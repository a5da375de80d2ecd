"""One file a subject; importing this package knows all tables."""

from sql.models.audit import AuditEvent, AuditHead, AuditSeal
from sql.models.base import Base
from sql.models.billing import (
    BillingProblem,
    BillingRun,
    Compensation,
    CompensationRow,
    CreditLine,
    Discount,
    DunningPolicy,
    Fee,
    Holiday,
    ServiceBilling,
)
from sql.models.changes import Approval, Batch, Change, Evidence, KnownAccess, Override, Step
from sql.models.drift import DriftFinding, DriftRun
from sql.models.intake import ApiToken, AssertedStanding, Feed, Import, ImportRow, IncomingPayment, PaymentProvider
from sql.models.money import (
    Allocation,
    Invoice,
    InvoiceLine,
    InvoiceSeries,
    LedgerEntry,
    LedgerPosting,
    Payment,
    PaymentReversal,
)
from sql.models.notices import Notice, NoticeChannel, NoticeDelivery, NoticeTemplate
from sql.models.operators import Operator
from sql.models.people import Person
from sql.models.plans import Plan, PlanVersion
from sql.models.routers import Node, Placement, Router, RouterAbility, RouterCheck, RouterCheckHour, RouterHealth
from sql.models.services import Hold, Review, Service, Subscriber
from sql.models.sessions import RefusedLogin, Session, SpoolFile, SpoolReject, UsageHour
from sql.models.usage import AccountingRecord, RouterBoot, UsageDay, UsageSpan, UsageState, UsageTopup

__all__ = [
    "AccountingRecord",
    "Allocation",
    "ApiToken",
    "Approval",
    "AssertedStanding",
    "AuditEvent",
    "AuditHead",
    "AuditSeal",
    "Base",
    "Batch",
    "BillingProblem",
    "BillingRun",
    "Change",
    "Compensation",
    "CompensationRow",
    "CreditLine",
    "Discount",
    "DriftFinding",
    "DriftRun",
    "DunningPolicy",
    "Evidence",
    "Fee",
    "Feed",
    "Hold",
    "Holiday",
    "Import",
    "ImportRow",
    "IncomingPayment",
    "Invoice",
    "InvoiceLine",
    "InvoiceSeries",
    "KnownAccess",
    "LedgerEntry",
    "LedgerPosting",
    "Node",
    "Notice",
    "NoticeChannel",
    "NoticeDelivery",
    "NoticeTemplate",
    "Operator",
    "Override",
    "Payment",
    "PaymentProvider",
    "PaymentReversal",
    "Person",
    "Placement",
    "Plan",
    "PlanVersion",
    "RefusedLogin",
    "Review",
    "Router",
    "RouterAbility",
    "RouterBoot",
    "RouterCheck",
    "RouterCheckHour",
    "RouterHealth",
    "Service",
    "ServiceBilling",
    "Session",
    "SpoolFile",
    "SpoolReject",
    "Step",
    "Subscriber",
    "UsageDay",
    "UsageHour",
    "UsageSpan",
    "UsageState",
    "UsageTopup",
]
