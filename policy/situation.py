"""What is known of one customer's line at one moment: the frozen facts that `policy.explain` puts into words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from policy.access import Access
from policy.changes.enforcement import Enforcement
from policy.changes.intent import ChangeKind, Intent
from policy.changes.route import RouteKind
from policy.standing import HoldKind, Standing


@dataclass(frozen=True, slots=True)
class Unpaid:
    """The oldest unpaid invoice, and how much ends a suspension: all that is past its grace, in minor units."""

    number: str
    due_at: datetime
    open_minor: int
    restoring_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Promise:
    """A hold: kept by a person until a moment, or for good (None)."""

    id: int
    until: datetime | None
    reason: str
    by: str
    created_at: datetime
    kind: HoldKind = HoldKind.GRACE
    amount_minor: int | None = None
    invoice: str = ""


@dataclass(frozen=True, slots=True)
class Coming:
    """The suspension that is to come: when terms and holds are over, when it is allowed (None: never), and why so late.

    `why` is a clause, "" where nothing but the terms is waited for.
    """

    ready_at: datetime
    at: datetime | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Asserted:
    """What another billing system says of the service. `silent`: it has not spoken for longer than is set."""

    standing: Standing
    as_of: datetime
    source: str
    silent: bool


@dataclass(frozen=True, slots=True)
class Earlier:
    """An override: an earlier access that a person gave back until a moment."""

    id: int
    until: datetime
    reason: str
    by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """The newest change. `stands`: it started from what is authorised now, so it is still about this moment."""

    id: int
    kind: ChangeKind
    state: Intent
    consequence: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: str
    note: str
    held_back: str
    requested_by: str
    needs_approvals: int
    approved_by: tuple[str, ...]
    stands: bool


@dataclass(frozen=True, slots=True)
class KnownRouter:
    """A router as the worker sees it; `down_since` is None while it answers, or where nothing was asked of it."""

    name: str
    down_since: datetime | None = None
    misses: int = 0
    left_alone_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class LatestStep:
    """The newest step of a session. `cause` is the word of its last attempt for the catalogue, "" without one."""

    id: int
    change_id: int | None
    route: RouteKind
    state: Enforcement
    why: str
    explanation: str
    cause: str
    attempts: int
    created_at: datetime
    due_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class LiveLine:
    """An open session. `applied` is None where nobody knows what it was given; `due` is what is authorised for it."""

    id: int
    router: KnownRouter
    acct_session_id: str
    mac: str
    address: str
    started_at: datetime
    last_seen_at: datetime
    in_line: bool
    applied: Access | None
    due: Access
    step: LatestStep | None

    @property
    def evidence(self) -> str:
        """The row that it rests on."""
        return f"session {self.id}"

    @property
    def noun(self) -> str:
        """What steps are about."""
        return "its session"

    @property
    def test(self) -> str:
        """The command that tells whether the way to the router works."""
        return "router test"


@dataclass(frozen=True, slots=True)
class Drifted:
    """What was found on a router that is not as it should be; `cause` in words, `heals` where one order mends it."""

    number: int
    cause: str
    seen_at: datetime
    heals: bool


@dataclass(frozen=True, slots=True)
class HeldLine:
    """What a router's own configuration holds for the service. `in_line`: it was proved to be what is authorised.

    `problem`: why the router cannot hold it so, or "". `garden_list`: whom the walled garden's rules of the router's
    style are for, "" for nobody; `garden_drift`: the open finding about those rules, None where they were as wanted.
    `drift`: the open finding about the service there that was seen after it was read back, None where there is none.
    """

    id: int
    router: KnownRouter
    in_line: bool
    observed_at: datetime | None
    problem: str
    step: LatestStep | None
    garden_list: str = ""
    garden_drift: int | None = None
    drift: Drifted | None = None

    @property
    def evidence(self) -> str:
        """The row that it rests on."""
        return f"placement {self.id}"

    @property
    def noun(self) -> str:
        """What steps are about."""
        return "what is held for it"

    @property
    def test(self) -> str:
        """The command that tells whether the way to the router works."""
        return "router health"


@dataclass(frozen=True, slots=True)
class EndedLine:
    """The session that ended last. `by` is how its end was found out, `cause` the router's own word."""

    id: int
    router: KnownRouter
    started_at: datetime
    ended_at: datetime
    by: str
    cause: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Logins that were refused within one hour, for one reason, on one router."""

    id: int
    router: str
    mac: str
    reason: str
    last_at: datetime
    times: int


@dataclass(frozen=True, slots=True)
class EdgeNode:
    """A RADIUS node. `behind`: its replica does not have what was authorised last. `reported_at` None: never."""

    name: str
    reported_at: datetime | None
    silent: bool
    behind: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """All of it. Texts are as people and routers wrote them; newest first where there are several.

    `healing_held_until`: the brake on healing lets nothing more through before that; None where nothing waits for it.
    """

    now: datetime
    time_zone: str
    username: str
    reference: str
    name: str
    method: str
    created_at: datetime
    standing: Standing
    unpaid: Unpaid | None
    restores_by_itself: bool
    holds: tuple[Promise, ...]
    override: Earlier | None
    plan: str
    plan_rate: str
    wanted_plan: str
    authorised: Access | None
    authorised_standing: Standing | None
    authorised_at: datetime | None
    authorised_change_id: int | None
    wants_other: bool
    prepaid_until: datetime | None
    bound_mac: str
    bound_router: str
    bound_port: str
    decision: Decision | None
    review_due_at: datetime | None
    sessions: tuple[LiveLine, ...]
    last_session: EndedLine | None
    refused: tuple[Refused, ...]
    writes_stopped_at: datetime | None
    writes_stopped_by: str
    nodes: tuple[EdgeNode, ...]
    currency: str = ""
    suspension: Coming | None = None
    outside: bool = False
    asserted: Asserted | None = None
    held: HeldLine | None = None
    healing_held_until: datetime | None = None
