"""`ispagents service`: the lines that subscribers have. A password is never an argument: others can read those."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common, service_story
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption, SearchOption
from ispagents.cli.inputs import PASSWORD_LETTERS, given, money_minor, optional_moment, read_secret, typed_day
from ispagents.cli.output import money_text
from ispagents.errors import Problem
from policy.facts import Method
from sql.customers import (
    add_service,
    change_service,
    close_service,
    plan_by_name,
    service_by_username,
    set_password,
    subscriber_by_reference,
    unbind,
)
from sql.listing import services
from sql.models import Operator, Plan, Service, Subscriber
from sql.money.giving_back import give_back_unused
from sql.money.plan_changes import change_plan_of

app = typer.Typer(no_args_is_help=True, help="The lines that subscribers have: user name, plan, address, bindings.")

EMPTY = (
    "There is no service yet; add one with "
    "`ispagents service add USERNAME --subscriber NUMBER --plan NAME --generate-password`."
)

FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")]
FromFile = Annotated[Path | None, typer.Option("--password-file", help="Read the password from a file, one line.")]
Generate = Annotated[bool, typer.Option("--generate-password", help="Make a password and print it once.")]
Address = Annotated[str | None, typer.Option(help="Fixed IPv4 address; '' for one from the pool.")]
Prefix = Annotated[str | None, typer.Option(help="IPv6 prefix of the link, such as 2001:db8:1::/64; '' for none.")]
Delegated = Annotated[str | None, typer.Option(help="Delegated IPv6 prefix, such as 2001:db8:1::/56; '' for none.")]
Routes = Annotated[
    list[str] | None, typer.Option("--route", help="'10.1.2.0/24 [GATEWAY [METRIC]]'; may be repeated; '' for none.")
]
Prepaid = Annotated[str | None, typer.Option(help="2026-12-05, or ISO 8601 with an offset; 'none' for postpaid.")]
BindMac = Annotated[bool | None, typer.Option(help="Bind to the device of the first login.")]
BindRouter = Annotated[bool | None, typer.Option(help="Bind to the router of the first login.")]
BindPort = Annotated[bool | None, typer.Option(help="Bind to the port of the first login.")]


@app.command("add")
def add(
    username: str,
    subscriber: Annotated[str, typer.Option(help="The customer number.")],
    plan: Annotated[str, typer.Option(help="The plan's name.")],
    method: Annotated[Method, typer.Option()] = Method.PPPOE,
    password_stdin: FromStdin = False,
    password_file: FromFile = None,
    generate_password: Generate = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="For logins by MAC (hotspot, dhcp): the user name is the MAC.")
    ] = False,
    address: Address = None,
    ipv6_prefix: Prefix = None,
    delegated_ipv6_prefix: Delegated = None,
    route: Routes = None,
    prepaid_until: Prepaid = None,
    bind_mac: BindMac = None,
    bind_router: BindRouter = None,
    bind_port: BindPort = None,
    starts_on: Annotated[
        str | None, typer.Option(help="First day that is charged, such as 2026-12-01; if not given, after the trial.")
    ] = None,
    price: Annotated[str | None, typer.Option(help="A price agreed with this customer instead of the plan's.")] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add a service; without an option for its password it asks for it, hidden. A static one is known by address."""
    wishes = _wishes(address, ipv6_prefix, delegated_ipv6_prefix, route)
    wishes |= _prepaid(prepaid_until, operator)
    wishes |= given(bind_mac=bind_mac, bind_router=bind_router, bind_port=bind_port)
    with common.acting(operator) as (session, operator_id):
        # Unknown names are told before anybody has to type a password.
        subscriber_by_reference(session, operator_id, subscriber)
        plan_by_name(session, operator_id, plan)
    named = password_stdin or generate_password or password_file is not None
    no_password = no_password or (method == Method.STATIC and not named)
    password, generated = _password(password_stdin, password_file, generate_password, nothing=no_password)
    with common.acting(operator) as (session, operator_id):
        owner = subscriber_by_reference(session, operator_id, subscriber)
        sold = plan_by_name(session, operator_id, plan)
        currency = session.get_one(Operator, operator_id).currency
        service = add_service(
            session,
            operator_id,
            subscriber=owner,
            plan=sold,
            username=username,
            password=password,
            method=method.value,
            box=common.box(),
            actor=common.actor(),
            starts_on=typed_day(starts_on) if starts_on is not None else None,
            price_minor=money_minor(price, currency, minimum_minor=0) if price is not None else None,
            **wishes,
        )
        session.refresh(service)
        row = _row(service, owner, sold)
    common.show_one({**row, **({"password": password} if generated else {})}, as_json=as_json)


@app.command("set")
def change(
    username: str,
    plan: Annotated[
        str | None, typer.Option(help="The new plan's name, from now on; see `service plan` for what it costs.")
    ] = None,
    address: Address = None,
    ipv6_prefix: Prefix = None,
    delegated_ipv6_prefix: Delegated = None,
    route: Routes = None,
    prepaid_until: Prepaid = None,
    bind_mac: BindMac = None,
    bind_router: BindRouter = None,
    bind_port: BindPort = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Change what is wanted of a service; it becomes a change, approved by a rule or by a person."""
    wishes = _wishes(address, ipv6_prefix, delegated_ipv6_prefix, route)
    wishes |= _prepaid(prepaid_until, operator)
    wishes |= given(bind_mac=bind_mac, bind_router=bind_router, bind_port=bind_port)
    if not wishes and plan is None:
        raise Problem("Nothing was named that should change; see `ispagents service set --help`.")
    with common.acting(operator) as (session, operator_id):
        service = service_by_username(session, operator_id, username)
        if plan is not None:
            wanted = plan_by_name(session, operator_id, plan)
            change_plan_of(session, service, wanted, at_period_end=False, actor=common.actor())
        if wishes:
            change_service(session, service, actor=common.actor(), **wishes)
        row = _full_row(session, service)
    common.show_one(row, as_json=as_json)


@app.command("password")
def password(
    username: str,
    password_stdin: FromStdin = False,
    password_file: FromFile = None,
    generate_password: Generate = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give a service a new password; the next login needs it."""
    with common.acting(operator) as (session, operator_id):
        service_by_username(session, operator_id, username)
    new, generated = read_secret(
        "password",
        from_stdin=password_stdin,
        file=password_file,
        generate=PASSWORD_LETTERS if generate_password else 0,
    )
    with common.acting(operator) as (session, operator_id):
        service = service_by_username(session, operator_id, username)
        set_password(session, service, new, box=common.box(), actor=common.actor())
    said = {"username": username, "said": "The next login needs the new password."}
    common.show_one({**said, **({"password": new} if generated else {})}, as_json=as_json)


@app.command("unbind")
def unbind_one(username: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Release the device, router and port that were learnt; the next login teaches them anew."""
    with common.acting(operator) as (session, operator_id):
        service = service_by_username(session, operator_id, username)
        released = unbind(session, service, actor=common.actor())
    common.show_one(
        {"username": username, **{f"released_{key}": value for key, value in released.items()}}, as_json=as_json
    )


@app.command("close")
def close(
    username: str,
    give_back: Annotated[
        bool, typer.Option("--give-back", help="Days that are invoiced and not used become credit; else they stay.")
    ] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Close a service for good; the change is approved like any other."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        service = service_by_username(session, operator_id, username)
        given_minor = give_back_unused(session, service, actor=common.actor()) if give_back else 0
        close_service(session, service, actor=common.actor())
        given = {"given_back": money_text(given_minor, currency), "given_back_minor": given_minor}
        row = {**_full_row(session, service), **given}
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    search: SearchOption = "",
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List services by user name; --search finds those that begin with it."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(*one) for one in services(session, operator_id, search=search, after=after, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="Services",
        empty=common.nothing(EMPTY, search=search, after=after),
        columns=("username", "subscriber", "plan", "method", "standing", "authorised", "address"),
        more=common.more(rows, limit, "username"),
    )


@app.command("show")
def show(username: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show what a service should have, what it has, why, and what to do next."""
    with common.acting(operator) as (session, operator_id):
        service = service_by_username(session, operator_id, username)
        story = service_story.tell(session, service, datetime.now(UTC))
    service_story.show(story, as_json=as_json)


def _password(from_stdin: bool, file: Path | None, generate: bool, *, nothing: bool) -> tuple[str | None, bool]:
    if not nothing:
        letters = PASSWORD_LETTERS if generate else 0
        return read_secret("password", from_stdin=from_stdin, file=file, generate=letters)
    if from_stdin or file is not None or generate:
        raise Problem("Either the service has a password or it has --no-password, not both.")
    return None, False


def _wishes(
    address: str | None,
    ipv6_prefix: str | None,
    delegated_ipv6_prefix: str | None,
    routes: list[str] | None,
) -> dict[str, Any]:
    return given(
        address=address,
        ipv6_prefix=ipv6_prefix,
        delegated_ipv6_prefix=delegated_ipv6_prefix,
        routes=[one for one in routes if one] if routes else None,
    )


def _prepaid(until: str | None, operator: str) -> dict[str, Any]:
    return {} if until is None else {"prepaid_until": optional_moment(until, common.time_zone(operator))}


def _full_row(session: Session, service: Service) -> dict[str, Any]:
    session.refresh(service)
    owner = session.get_one(Subscriber, service.subscriber_id)
    return _row(service, owner, session.get_one(Plan, service.plan_id))


def _row(service: Service, subscriber: Subscriber, plan: Plan) -> dict[str, Any]:
    return {
        "username": service.username,
        "subscriber": subscriber.reference,
        "plan": plan.name,
        "method": service.method,
        "standing": service.standing,
        "authorised": service.authorised is not None,
        "address": str(service.address) if service.address else "",
        "ipv6_prefix": str(service.ipv6_prefix) if service.ipv6_prefix else "",
        "delegated_ipv6_prefix": str(service.delegated_ipv6_prefix) if service.delegated_ipv6_prefix else "",
        "routes": service.routes,
        "prepaid_until": service.prepaid_until,
    }
