"""Who pays during the night of `bench billing`: some at the counter, and many in a way that a provider tells of."""

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from sqlalchemy import Engine

from bench.billing_books import ACTOR, PAYING_OF, PAYING_PLACE, PRICE_MINOR, TELLING_OF, TELLING_PLACE
from bench.figures import percentile
from bench.servers import process
from bench.servers.contract import Endpoint
from bench.webhook_load import AMOUNT_MINOR, Taken, WebhookLoad, Webhooks
from sql.models import Subscriber
from sql.money.payments import receive_payment
from sql.money.providers import add_provider
from sql.secrets import SecretBox
from sql.sessions import acting_for

POLL_S: Final = 0.002
PATIENCE_S: Final = 60.0
BETWEEN_PAYMENTS_S: Final = 0.05
CONNECTIONS: Final = 4
SOURCE: Final = "bank"
SECRET: Final = "a made-up secret of the bench"
_WAITS: Final = "SELECT 1 FROM reviews WHERE service_id = %s AND due_at <= now()"
# Those of whom nothing else is asked tonight, so that the night's counts stay what they must be.
_OWING: Final = """
SELECT services.id, services.subscriber_id, reference FROM services
JOIN subscribers ON subscribers.id = services.subscriber_id JOIN invoices USING (subscriber_id)
WHERE open_minor > 0 AND username::integer %% %s = %s
GROUP BY services.id, reference HAVING count(*) = 1 AND min(due_at) > now() + interval '5 days' ORDER BY services.id
"""
_BOOKED: Final = """
SELECT count(*), count(DISTINCT incoming.external_id), coalesce(sum(posting.amount_minor), 0)
FROM incoming_payments AS incoming JOIN ledger_entries AS entry USING (operator_id, payment_id)
JOIN ledger_postings AS posting ON posting.entry_id = entry.id AND posting.account = 'cash' WHERE source = %s
"""


class PayersError(Exception):
    """A payment was not looked at, or not booked just once, so that the night's time means nothing."""


class Payers:
    """Customers who pay at the counter, one after the other."""

    def __init__(self, web: Engine, superuser: psycopg.Connection[Any], operator: int) -> None:
        """Nobody has paid yet."""
        self._web = web
        self._superuser = superuser
        self._operator = operator
        self._owing = superuser.execute(_OWING, (PAYING_OF, PAYING_PLACE)).fetchall()
        self._took_ms: list[float] = []

    def pay(self, ended: threading.Event) -> None:
        """Until `ended`: how long from the commit of each until somebody has looked at it. Raises PayersError."""
        for service, subscriber, _ in self._owing:
            if ended.is_set():
                return
            with acting_for(self._web, self._operator) as session:
                payer = session.get_one(Subscriber, subscriber)
                receive_payment(session, payer, amount_minor=PRICE_MINOR, method="cash", actor=ACTOR)
            committed = time.monotonic()
            while self._superuser.execute(_WAITS, (service,)).fetchone():
                if time.monotonic() - committed > PATIENCE_S:
                    raise PayersError("nobody looked at a payment")
                time.sleep(POLL_S)
            self._took_ms.append((time.monotonic() - committed) * 1000)
            time.sleep(BETWEEN_PAYMENTS_S)

    def figures(self) -> dict[str, Any]:
        """How many paid, and the percentiles."""
        return {
            "payments_meanwhile": len(self._took_ms),
            "payment_to_decision_p50_ms": _percentile(self._took_ms, 50),
            "payment_to_decision_p99_ms": _percentile(self._took_ms, 99),
        }


class Told:
    """Signed webhooks of a provider at the real web process, at a fixed rate. From `__init__` to `stop`."""

    def __init__(
        self,
        web: Engine,
        superuser: psycopg.Connection[Any],
        operator: int,
        box: SecretBox,
        endpoint: Endpoint,
        count: int,
        per_s: float,
    ) -> None:
        """Nothing is told yet. Raises ServerError."""
        self._superuser = superuser
        self._endpoint = endpoint
        self._count = count
        self._per_s = per_s
        self._taken: Sequence[Taken] = ()
        self._cpu_s = 0.0
        with acting_for(web, operator) as session:
            provider = add_provider(session, operator, name=SOURCE, kind="signed", secret=SECRET, box=box, actor=ACTOR)
            path = f"/hooks/{provider.token}"
        owing = superuser.execute(_OWING, (TELLING_OF, TELLING_PLACE)).fetchall()
        self._load = WebhookLoad(
            Webhooks(
                address=endpoint.address,
                port=endpoint.port,
                path=path,
                secret=SECRET,
                references=[reference for _, _, reference in owing],
                first=0,
                count=count,
                connections=CONNECTIONS,
                per_s=per_s,
            )
        )

    def begin(self) -> None:
        """Let the provider tell, from now on."""
        self._cpu_s = process.usage(self._endpoint).helpers_cpu_s
        self._load.begin()

    def is_over(self) -> bool:
        """Whether nothing is left to be told."""
        return self._load.is_over()

    def wait(self) -> None:
        """Until the last is told. Raises WebhookError for one that was not booked, ServerError."""
        self._taken = self._load.taken()
        self._cpu_s = process.usage(self._endpoint).helpers_cpu_s - self._cpu_s

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        self._load.stop()

    def check(self) -> None:
        """Each is booked once, and all of the money is in the ledger. Raises PayersError."""
        booked = self._superuser.execute(_BOOKED, (SOURCE,)).fetchone()
        wanted = (self._count, self._count, self._count * AMOUNT_MINOR)
        if booked != wanted:
            raise PayersError(f"bookings, webhooks and money of the provider: {booked} instead of {wanted}")

    def figures(self, night_ended: float) -> dict[str, Any]:
        """Percentiles of all, and how many were due before the first night ended, by the monotonic clock."""
        took_ms = [one.took_ms for one in self._taken]
        return {
            "webhooks": len(self._taken),
            "webhooks_in_first_night": sum(one.due_s <= night_ended for one in self._taken),
            "webhooks_per_s": self._per_s,
            "webhooks_p50_ms": _percentile(took_ms, 50),
            "webhooks_p99_ms": _percentile(took_ms, 99),
            "webhooks_max_ms": round(max(took_ms, default=0.0), 1),
            "webhook_web_cpu_ms": round(self._cpu_s / self._count * 1000, 1),
        }


def _percentile(values: Sequence[float], percent: int) -> float | None:
    return percentile(values, percent) if len(values) > 1 else None
