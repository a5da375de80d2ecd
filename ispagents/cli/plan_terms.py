"""How a plan is charged, as people say it: options of `ispagents plan add` and `change`, and what is shown of them."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer

from ispagents.cli.inputs import given, money_minor
from ispagents.cli.output import money_text
from ispagents.errors import Problem
from policy.errors import PolicyError
from policy.money.periods import Period, Unit, read_period
from sql.models import Plan

_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?")


class Billing(StrEnum):
    """How a plan is paid."""

    RECURRING = "recurring"
    PREPAID = "prepaid"


BillingOption = Annotated[
    Billing | None, typer.Option("--billing", help="Charged again and again, or paid before it is used.")
]
PeriodOption = Annotated[
    str | None, typer.Option("--period", help="Such as '1 month', '30 days', '2 weeks'; prepaid also '12 hours'.")
]
AnchorOption = Annotated[
    str | None,
    typer.Option("--anchor-day", help="Day of the month on which periods begin, 1 to 31; none: the service's own."),
]
TaxOption = Annotated[str | None, typer.Option("--tax", help="Percent of the net price, such as 23 or 7.5.")]
TaxIncluded = Annotated[
    bool | None, typer.Option("--tax-included/--tax-on-top", help="Whether the price holds the tax.")
]
SetupOption = Annotated[str | None, typer.Option("--setup", help="Charged once, with the first period.")]
TrialOption = Annotated[
    int | None, typer.Option("--trial-days", min=0, max=366, help="So many days are free at the beginning.")
]


def basis_points(text: str) -> int:
    """Basis points of a percentage such as 23 or 7.5. Raises Problem."""
    points = int(Decimal(text).scaleb(2)) if _PERCENT.fullmatch(text) else -1
    if not 0 <= points <= 10_000:
        raise Problem(f"{text[:60]!r} is not a percentage from 0 to 100 such as 23 or 7.5.")
    return points


def percent_text(points: int) -> str:
    """A percentage for people, such as 23 or 7.5."""
    return f"{Decimal(points).scaleb(-2):f}".rstrip("0").rstrip(".")


def said_terms(
    currency: str,
    *,
    billing: Billing | None,
    period: str | None,
    anchor_day: str | None,
    tax: str | None,
    tax_included: bool | None,
    setup: str | None,
    trial_days: int | None,
) -> dict[str, Any]:
    """The columns of a plan that were named. Raises Problem."""
    terms = given(
        billing=billing.value if billing is not None else None,
        tax_basis_points=basis_points(tax) if tax is not None else None,
        tax_included=tax_included,
        setup_minor=money_minor(setup, currency, minimum_minor=0) if setup is not None else None,
        trial_days=trial_days,
    )
    if period is not None:
        try:
            number, unit = read_period(period)
        except PolicyError as error:
            raise Problem(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        terms |= {"period_count": number, "period_unit": unit.value}
    if anchor_day is not None:
        terms["anchor_day"] = None if anchor_day == "none" else _day_of_month(anchor_day)
    return terms


def terms_row(plan: Plan, currency: str) -> dict[str, Any]:
    """How a plan is charged, for people and programs."""
    return {
        "billing": plan.billing,
        "period": str(Period(plan.period_count, Unit(plan.period_unit))),
        "anchor_day": plan.anchor_day,
        "tax_percent": percent_text(plan.tax_basis_points),
        "tax_included": plan.tax_included,
        "setup": money_text(plan.setup_minor, currency),
        "setup_minor": plan.setup_minor,
        "trial_days": plan.trial_days,
    }


def _day_of_month(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= 31):
        raise Problem(f"{text[:60]!r} is not a day of the month; write 1 to 31, or none.")
    return int(text)
