"""`ispagents plan`: what is sold. An edit is a new version, and so a change for every service of the plan."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import gigabytes, given, json_object, money_minor
from ispagents.cli.output import money_text
from ispagents.cli.plan_limits import limits_row, said_limits
from ispagents.cli.plan_terms import (
    AnchorOption,
    BillingOption,
    PeriodOption,
    SetupOption,
    TaxIncluded,
    TaxOption,
    TrialOption,
    said_terms,
    terms_row,
)
from ispagents.errors import Problem
from policy.documents import read_plan
from policy.facts import AtLimit, SuspendedLook
from sql.customers import add_plan, change_plan, plan_by_name
from sql.listing import plans
from sql.models import Operator, Plan, PlanVersion
from sql.money.policies import use_for_plan

app = typer.Typer(no_args_is_help=True, help="What is sold: speed, price, limits, and how a suspended service looks.")

NO_DUNNING = "none"
RADIUS_MAXIMUM = 2**32 - 1  # a RADIUS integer (RFC 2865 section 5)
EMPTY = "There is no plan yet; add one with `ispagents plan add NAME --rate 10M/50M --price 15.00`."

Rate = Annotated[
    str | None, typer.Option(help="Upload first, as RouterOS writes it: 10M/50M is 10 up, 50 down. Burst may follow.")
]
Price = Annotated[str | None, typer.Option(help="A period's price, such as 15.00.")]
Lists = Annotated[
    list[str] | None, typer.Option("--address-list", help="Address list on the router; may be repeated. '' for none.")
]
Pool = Annotated[str | None, typer.Option(help="Address pool on the router.")]
Look = Annotated[SuspendedLook | None, typer.Option("--suspended-look", help="How a suspended service looks.")]
LookList = Annotated[str | None, typer.Option("--suspended-list", help="Its address list (restrict).")]
LookRate = Annotated[str | None, typer.Option("--suspended-rate", help="Its speed, upload first.")]
LookPool = Annotated[str | None, typer.Option("--suspended-pool", help="Its address pool (pool).")]
SessionSeconds = Annotated[int | None, typer.Option("--session-timeout", min=0, max=RADIUS_MAXIMUM, help="Seconds.")]
IdleSeconds = Annotated[int | None, typer.Option("--idle-timeout", min=0, max=RADIUS_MAXIMUM, help="Seconds.")]
Interim = Annotated[int | None, typer.Option("--interim", min=60, max=86400, help="Accounting interval in seconds.")]
Devices = Annotated[int | None, typer.Option("--simultaneous-use", min=0, max=1000, help="Sessions at once; 0: any.")]
Limit = Annotated[AtLimit | None, typer.Option("--at-limit", help="What one session more than that leads to.")]
Quota = Annotated[str | None, typer.Option("--quota-gb", help="GB a period; 0: none.")]
Tiers = Annotated[
    list[str] | None,
    typer.Option(
        "--tier",
        help="From so many bytes of a day, week, month or period on: 'month:100G:2M/2M', or restrict or stop for a "
        "rate; may be repeated. none: no tier.",
    ),
]
Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--usage-rule",
        help="Hours in which a byte counts for less or more, in percent: '01:00-06:00=0' is free, 'sat,sun "
        "00:00-24:00=50', upload first 'mon-fri 08:00-18:00=0/100'; may be repeated, the first that holds counts. "
        "none: no rule.",
    ),
]
CarryOver = Annotated[str | None, typer.Option("--carry-over-gb", help="GB of a month or period carried on; 0: none.")]
WarnAt = Annotated[str | None, typer.Option("--warn-at", help="Percent at which customers are told: '80,100'; none.")]
FactsOption = Annotated[
    str | None,
    typer.Option(help='More facts as JSON, for windows, tiers and the like: {"tiers": [{"from_bytes": 1, ...}]}'),
]


@app.command("add")
def add(
    name: str,
    rate: Rate = None,
    price: Price = None,
    address_list: Lists = None,
    pool: Pool = None,
    suspended_look: Look = None,
    suspended_list: LookList = None,
    suspended_rate: LookRate = None,
    suspended_pool: LookPool = None,
    session_timeout: SessionSeconds = None,
    idle_timeout: IdleSeconds = None,
    interim: Interim = None,
    simultaneous_use: Devices = None,
    at_limit: Limit = None,
    quota_gb: Quota = None,
    tier: Tiers = None,
    usage_rule: Rules = None,
    carry_over_gb: CarryOver = None,
    warn_at: WarnAt = None,
    billing: BillingOption = None,
    period: PeriodOption = None,
    anchor_day: AnchorOption = None,
    tax: TaxOption = None,
    tax_included: TaxIncluded = None,
    setup: SetupOption = None,
    trial_days: TrialOption = None,
    facts: FactsOption = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add a plan. Rates are upload first: 10M/50M is 10 Mbit/s up and 50 Mbit/s down."""
    said = _said(
        facts, rate, address_list, pool, session_timeout, idle_timeout, interim, simultaneous_use, at_limit, quota_gb
    )
    said |= said_limits(tier, usage_rule, carry_over_gb, warn_at)
    look = _look(suspended_look, suspended_list, suspended_rate, suspended_pool)
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        terms = said_terms(
            currency,
            billing=billing,
            period=period,
            anchor_day=anchor_day,
            tax=tax,
            tax_included=tax_included,
            setup=setup,
            trial_days=trial_days,
        )
        price_minor = money_minor(price, currency, minimum_minor=0) if price is not None else 0
        plan = add_plan(
            session,
            operator_id,
            name=name,
            facts=_with_look(said, look, {}),
            price_minor=price_minor,
            actor=common.actor(),
            terms=terms,
        )
        session.refresh(plan)
        version = _version(session, plan)
        row = _row(plan, version, currency) | limits_row(read_plan(version.facts, version.id, version.name))
    common.show_one(row, as_json=as_json)


@app.command("change")
def change(
    name: str,
    rate: Rate = None,
    price: Price = None,
    address_list: Lists = None,
    pool: Pool = None,
    suspended_look: Look = None,
    suspended_list: LookList = None,
    suspended_rate: LookRate = None,
    suspended_pool: LookPool = None,
    session_timeout: SessionSeconds = None,
    idle_timeout: IdleSeconds = None,
    interim: Interim = None,
    simultaneous_use: Devices = None,
    at_limit: Limit = None,
    quota_gb: Quota = None,
    tier: Tiers = None,
    usage_rule: Rules = None,
    carry_over_gb: CarryOver = None,
    warn_at: WarnAt = None,
    billing: BillingOption = None,
    period: PeriodOption = None,
    anchor_day: AnchorOption = None,
    tax: TaxOption = None,
    tax_included: TaxIncluded = None,
    setup: SetupOption = None,
    trial_days: TrialOption = None,
    facts: FactsOption = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give a plan a new version; what is not named stays. Every service of the plan becomes a change."""
    said = _said(
        facts, rate, address_list, pool, session_timeout, idle_timeout, interim, simultaneous_use, at_limit, quota_gb
    )
    said |= said_limits(tier, usage_rule, carry_over_gb, warn_at)
    look = _look(suspended_look, suspended_list, suspended_rate, suspended_pool)
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        terms = said_terms(
            currency,
            billing=billing,
            period=period,
            anchor_day=anchor_day,
            tax=tax,
            tax_included=tax_included,
            setup=setup,
            trial_days=trial_days,
        )
        current = _version(session, plan_by_name(session, operator_id, name))
        plan = change_plan(
            session,
            operator_id,
            name=name,
            facts=_with_look(said, look, current.facts),
            price_minor=money_minor(price, currency, minimum_minor=0) if price is not None else None,
            actor=common.actor(),
            terms=terms,
        )
        session.refresh(plan)
        version = _version(session, plan)
        row = _row(plan, version, currency) | limits_row(read_plan(version.facts, version.id, version.name))
    common.show_one(row, as_json=as_json)


@app.command("set")
def choose(
    name: str,
    dunning: Annotated[str, typer.Option(help="The dunning policy, which beats the operator's; none: the operator's.")],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Choose what follows an unpaid invoice of a plan's services; the plan itself stays as it is."""
    with common.acting(operator) as (session, operator_id):
        plan = plan_by_name(session, operator_id, name)
        use_for_plan(session, plan, "" if dunning == NO_DUNNING else dunning, actor=common.actor())
    common.show_one({"name": name, "dunning": None if dunning == NO_DUNNING else dunning}, as_json=as_json)


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the plans by name."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        found = plans(session, operator_id, after=after, limit=limit)
        rows = [_row(plan, version, currency) for plan, version in found]
    common.show(
        rows,
        as_json=as_json,
        title="Plans",
        empty=EMPTY if not after else common.NO_MORE,
        columns=("name", "version", "rate_limit", "price", "period", "billing", "address_lists", "pool", "suspended"),
        more=common.more(rows, limit, "name"),
    )


@app.command("show")
def show(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show a plan with all its facts."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        plan = plan_by_name(session, operator_id, name)
        version = _version(session, plan)
        row = {
            **_row(plan, version, currency),
            **limits_row(read_plan(version.facts, version.id, version.name)),
            "facts": version.facts,
            "version_since": version.created_at,
        }
    common.show_one(row, as_json=as_json)


def _said(
    facts: str | None,
    rate: str | None,
    address_lists: list[str] | None,
    pool: str | None,
    session_timeout: int | None,
    idle_timeout: int | None,
    interim: int | None,
    simultaneous_use: int | None,
    at_limit: AtLimit | None,
    quota_gb: str | None,
) -> dict[str, Any]:
    """The named facts, with those of the JSON document beneath."""
    return {
        **(json_object(facts, "--facts") if facts is not None else {}),
        **given(
            rate_limit=rate,
            address_lists=[one for one in address_lists if one] if address_lists else None,
            pool=pool,
            session_timeout_s=session_timeout,
            idle_timeout_s=idle_timeout,
            interim_interval_s=interim,
            simultaneous_use=simultaneous_use,
            at_limit=at_limit.value if at_limit is not None else None,
            quota_bytes=gigabytes(quota_gb) if quota_gb is not None else None,
        ),
    }


def _look(look: SuspendedLook | None, address_list: str | None, rate: str | None, pool: str | None) -> dict[str, Any]:
    return given(look=look.value if look is not None else None, address_list=address_list, rate_limit=rate, pool=pool)


def _with_look(facts: dict[str, Any], look: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    if not look:
        return facts
    before = facts.get("suspended", current.get("suspended", {}))
    if not isinstance(before, dict):
        raise Problem('--facts: "suspended" needs a JSON object, such as {"look": "restrict"}.')
    return {**facts, "suspended": {**before, **look}}


def _version(session: Session, plan: Plan) -> PlanVersion:
    return session.get_one(PlanVersion, plan.current_version_id)


def _row(plan: Plan, version: PlanVersion, currency: str) -> dict[str, Any]:
    look = version.facts.get("suspended", {})
    return {
        "name": plan.name,
        "version": version.number,
        "rate_limit": version.facts.get("rate_limit", ""),
        "price": money_text(plan.price_minor, currency),
        "price_minor": plan.price_minor,
        **terms_row(plan, currency),
        "address_lists": version.facts.get("address_lists", []),
        "pool": version.facts.get("pool", ""),
        "suspended": _look_text(look),
    }


def _look_text(look: dict[str, Any]) -> str:
    kind = look.get("look", SuspendedLook.RESTRICT.value)
    if kind == SuspendedLook.DENY:
        return "offline"
    where = (
        f"pool {look.get('pool', '')}" if kind == SuspendedLook.POOL else f"list {look.get('address_list', 'overdue')}"
    )
    return f"{where}, {look.get('rate_limit', '256k/256k') or 'any speed'}"
