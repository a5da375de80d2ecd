"""The books of `bench billing`: an operator with many services, filled by statements over whole sets.

Of the services a thirtieth begins a period tonight, 3 % are to be reminded, and the grace of 1 % ends. Some owe what is
due later and may pay meanwhile: PAYING_OF at the counter, TELLING_OF in a way that a provider tells of.
"""

from datetime import date, timedelta
from typing import Any, Final

import psycopg
from sqlalchemy.orm import Session

from ispagents.database import Databases, secret_box
from ispagents.state_folder import StateFolder
from sql.customers import add_operator, add_plan, add_service, add_subscriber
from sql.money.runs import operator_day
from sql.roles import Role
from worker import planning

ACTOR: Final = "bench"
INVOICED_OF: Final = 30
REMINDED_OF: Final = 33  # 3 %
SUSPENDED_OF: Final = 100
PAYING_OF, PAYING_PLACE = 500, 11
TELLING_OF, TELLING_PLACE = 100, 61
LATER_DAYS: Final = 10
PRICE_MINOR: Final = 2500
GRACE_DAYS: Final = 10  # longer ago than what is said late, or the suspended would be reminded too
REMINDED_BEFORE_DAYS: Final = 3
REFERENCES_FROM: Final = 1_000_000  # of customers: long enough for a text that names one to be sure


def open_books(databases: Databases, state: StateFolder) -> tuple[int, date]:
    """An operator that charges, with a plan, and the first service, which the others are copies of; and its day."""
    engine = databases.engine(Role.WEB, pool=1)
    try:
        with Session(engine) as session, session.begin():
            operator = add_operator(session, name="Bench", currency="EUR", actor=ACTOR, charges_from=date(2020, 1, 1))
            plan = add_plan(
                session,
                operator.id,
                name="Home 50",
                facts={"rate_limit": "10M/50M"},
                price_minor=PRICE_MINOR,
                actor=ACTOR,
                terms={"tax_basis_points": 2300},
            )
            add_service(
                session,
                operator.id,
                subscriber=add_subscriber(session, operator.id, reference="0", name="x", actor=ACTOR),
                plan=plan,
                username="0",
                password="made-up password",
                method="pppoe",
                box=secret_box(state),
                actor=ACTOR,
            )
            found, day = operator.id, operator_day(session, operator.id)
        worker = databases.engine(Role.WORKER, pool=1)
        planning.review_operator(worker, found)
        worker.dispose()
        return found, day
    finally:
        engine.dispose()


def fill(superuser: psycopg.Connection[Any], operator: int, services: int, day: date) -> None:
    """The other services; who owes since when; and who is to be looked at. No trigger runs meanwhile."""
    superuser.execute("SET session_replication_role = replica")
    values = {
        "operator": operator,
        "references": REFERENCES_FROM,
        "last": services - 1,
        "day": day,
        "every": INVOICED_OF,
        "reminded": REMINDED_OF,
        "suspended": SUSPENDED_OF,
        "price": PRICE_MINOR,
        "grace": GRACE_DAYS,
        "remind_due": day + timedelta(days=REMINDED_BEFORE_DAYS),
        "paying": PAYING_OF,
        "paying_place": PAYING_PLACE,
        "telling": TELLING_OF,
        "telling_place": TELLING_PLACE,
        "later_due": day + timedelta(days=LATER_DAYS),
        "suspend_due": day - timedelta(days=GRACE_DAYS),
        "year": day.year,
    }
    for statement in _STATEMENTS:
        superuser.execute(statement, values)
    superuser.execute("SET session_replication_role = origin")
    superuser.execute("VACUUM ANALYZE")
    superuser.execute("CHECKPOINT")


_STATEMENTS: Final = (
    (
        "INSERT INTO dunning_policies (operator_id, name, grace_days, reminder_days) "
        "VALUES (%(operator)s, 'usual', %(grace)s, '{-3}')"
    ),
    "UPDATE operators SET dunning_policy_id = (SELECT id FROM dunning_policies), revision = revision",
    (
        "INSERT INTO notice_channels (operator_id, name, url, events) "
        "VALUES (%(operator)s, 'mail', 'sealed', '{invoice,reminder,restricted,restored}')"
    ),
    "DELETE FROM service_billing",
    (
        "INSERT INTO subscribers (operator_id, reference, name, email) "
        "SELECT %(operator)s, 'K-' || %(references)s + n, 'Customer ' || n, n || '@example.org' "
        "FROM generate_series(1, %(last)s) AS n"
    ),
    (
        "INSERT INTO services (operator_id, subscriber_id, plan_id, method, username, password, created_at, "
        "authorised, authorised_stamp, authorised_at) "
        "SELECT %(operator)s, subscriber.id, first.plan_id, 'pppoe', "
        "(substr(subscriber.reference, 3)::integer - %(references)s)::text, first.password, "
        "'2025-01-01Z', first.authorised, first.authorised_stamp, now() "
        "FROM subscribers AS subscriber, services AS first WHERE subscriber.reference <> '0'"
    ),
    "UPDATE services SET authorised = jsonb_set(authorised, '{service_id}', to_jsonb(id)) WHERE username <> '0'",
    (
        "INSERT INTO service_billing (service_id, operator_id, subscriber_id, starts_on, anchor_day, billed_until, "
        "next_on, setup_charged) SELECT id, operator_id, subscriber_id, '2025-01-01', 1, "
        "%(day)s + (username::integer %% %(every)s), %(day)s + (username::integer %% %(every)s), true FROM services "
        "WHERE username::integer / %(every)s < (%(last)s + 1) / %(every)s"
    ),
    # owed: due in three days (a reminder), so long ago that grace ends tonight (a suspension), or later (may pay)
    (
        "INSERT INTO invoices (operator_id, subscriber_id, year, serial, amount_minor, open_minor, currency, "
        "issued_at, issued_on, due_at, due_on) "
        "SELECT operator_id, subscriber_id, 2025, row_number() OVER (), %(price)s, %(price)s, 'EUR', "
        "due_on - interval '14 days', due_on - 14, due_on::timestamptz, due_on FROM ("
        "SELECT operator_id, subscriber_id, CASE kind WHEN 1 THEN %(remind_due)s WHEN 2 THEN %(suspend_due)s "
        "ELSE %(later_due)s END AS due_on FROM services, (VALUES (1), (2), (3)) AS kinds (kind) "
        "WHERE CASE kind WHEN 1 THEN username::integer %% %(reminded)s = 7 "
        "AND username::integer / %(reminded)s < (%(last)s + 1) / %(reminded)s "
        "WHEN 2 THEN username::integer %% %(suspended)s = 8 "
        "ELSE username::integer %% %(paying)s = %(paying_place)s "
        "OR username::integer %% %(telling)s = %(telling_place)s END) AS owing"
    ),
    "INSERT INTO invoice_series SELECT operator_id, 2025, count(*) FROM invoices GROUP BY 1",
    "UPDATE services SET standing = 'grace' WHERE username::integer %% %(suspended)s = 8",
    "DELETE FROM reviews",
    (
        "INSERT INTO reviews SELECT id, operator_id, %(day)s::timestamptz FROM services "
        "WHERE username::integer %% %(suspended)s = 8"
    ),
)
