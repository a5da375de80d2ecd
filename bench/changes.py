"""`ispagents bench changes`: from a payment's webhook to its CoA, idle and during a large batch, and the batch itself.

The whole installation runs as `ispagents up` starts it, with 50 simulated routers behind 20 ms and 1 % loss each way.
Every fourth of them cannot change address lists by CoA: its customers are disconnected and dial in again, which
accounting proves. Sessions are written as edge would have stored them; everything after that is the real way: trigger,
review, rule, replica, step, packet, evidence.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from bench import report
from bench.figures import percentile
from bench.installed import installation
from bench.routers import Network, Routers
from bench.servers import process
from bench.servers.contract import ServerError
from bench.town import LOOK_S, ChangesBenchError, Town
from ispagents.errors import Problem

SEED: Final = 20261122
ROUND_TRIP_S: Final = 0.02
LOSS: Final = 0.01
PROCESSES: Final = 2
REDIAL_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it. The first `payers` customers are suspended before the clock starts, the others in the batch."""

    routers: int
    sessions: int
    payers: int
    idle_payments: int
    counted_payments: int

    @property
    def customers(self) -> int:
        return self.routers * self.sessions


FULL: Final = Size(routers=50, sessions=204, payers=200, idle_payments=100, counted_payments=20)
QUICK: Final = Size(routers=10, sessions=24, payers=40, idle_payments=20, counted_payments=5)


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises ChangesBenchError, Problem or ServerError."""
    size, say = (QUICK if quick else FULL), say or report.to_stderr
    process.sweep()
    with process.orderly_end() as stack, installation("changes", say) as machine:
        share = size.routers // PROCESSES
        parts = [
            Routers(
                Network(
                    routers=share,
                    sessions=size.sessions,
                    first=place * share,
                    delay_s=ROUND_TRIP_S / 2,
                    loss=LOSS,
                    seed=SEED,
                    auth_port=machine.settings.radius_auth_port,
                    acct_port=machine.settings.radius_acct_port,
                )
            )
            for place in range(PROCESSES)
        ]
        for part in parts:
            stack.callback(part.stop)
        lines = [line for part in parts for line in part.ready()]
        town = Town(machine, lines, say)
        town.build()
        say("suspending those who will pay")
        payers, others = town.payers(size.payers)
        town.owe(payers)
        town.approve_all()
        town.settled()
        idle = town.pay_each(payers[: size.idle_payments], "idle")
        town.owe(others)
        town.all_wait(size.customers - size.payers)
        began = time.time()
        with ThreadPoolExecutor(1) as person:
            approved = person.submit(town.approve_all)
            busy = town.pay_each(payers[size.idle_payments :], "during the batch")
            approved_s = approved.result() - began
        town.settled()
        acknowledged_s, verified_s = town.last_answer() - began, town.last_proof() - began
        _see_restricted(parts, size.customers - size.payers)
        figures = town.count_statements(payers, size.counted_payments)
    return {
        "payment_to_coa_p50_ms": percentile(idle, 50),
        "payment_to_coa_p99_ms": percentile(idle, 99),
        "payment_to_coa_max_ms": round(max(idle), 1),
        "during_batch_p50_ms": percentile(busy, 50),
        "during_batch_p99_ms": percentile(busy, 99),
        "payments_idle": len(idle),
        "payments_during_batch": len(busy),
        "batch_changes": size.customers - size.payers,
        "batch_approved_s": round(approved_s, 1),
        "batch_acknowledged_s": round(acknowledged_s, 1),
        "batch_verified_s": round(verified_s, 1),
        **figures,
        "routers": size.routers,
        "seed": SEED,
    }


def _see_restricted(parts: list[Routers], expected: int) -> None:
    """Let the routers say it; a customer who was disconnected may be on the way back."""
    given_up_at = time.monotonic() + REDIAL_PATIENCE_S
    while (seen := sum(part.rates()["256k/256k"] for part in parts)) != expected:
        if time.monotonic() > given_up_at:
            raise ChangesBenchError(f"{seen} sessions are restricted instead of {expected}")
        time.sleep(LOOK_S)


ERRORS: Final = (ChangesBenchError, Problem, ServerError)
