"""The worker's clock for notices: customers are told what waits, a few at a time, and each event once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from documents.notices import Template, our_template, written
from documents.words import words_for
from sql.notice_deliveries import Claimed, Outcome, claim, operators_to_notify, store, take
from sql.notice_settings import channel_place
from sql.secrets import SecretBox, SecretsError
from sql.sessions import acting_for
from worker import notice_gateway
from worker.notice_gateway import Answer

log = structlog.get_logger("worker.notices")

LOOK_EVERY_S = 2.0
# So many gateways are asked at the same moment, and so many notices may be unknown after a worker was killed.
AT_ONCE = 8
# A channel through which nothing of a portion went is left alone for so long.
REST_S = 30.0


async def keep_told(engine: Engine, box: SecretBox) -> None:
    """Tell customers what waits, again and again. Runs until it is cancelled; a started portion is still stored."""
    teller = Teller(engine, box)
    try:
        while True:
            await asyncio.to_thread(teller.look)
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        teller.stop()


class Teller:
    """Sends what is due. Operators are told one after the other, a portion each, so that none waits for another's."""

    def __init__(self, engine: Engine, box: SecretBox) -> None:
        """Nothing is sent yet. `box` opens the addresses of channels."""
        self._engine = engine
        self._box = box
        self._rests_until: dict[int, float] = {}
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Begin no further portion."""
        self._stopping.set()

    def look(self) -> int:
        """Tell all that is due by now. What goes wrong is logged and tried later. Returns how many."""
        total = 0
        try:
            operators = operators_to_notify(self._engine)
            with ThreadPoolExecutor(AT_ONCE, "notices") as pool:
                while operators:
                    tried = {one: self._portion(one, pool) for one in operators if not self._stopping.is_set()}
                    total += sum(tried.values())
                    operators = [one for one, count in tried.items() if count]
        except DBAPIError as error:
            log.warning("notices could not be told; trying again", error=" ".join(str(error.orig).split()))
        return total

    def _portion(self, operator_id: int, pool: ThreadPoolExecutor) -> int:
        """Take what is new, and try a few that are due. Returns how many were taken or tried."""
        with acting_for(self._engine, operator_id) as session:
            taken = take(session, operator_id)
        with acting_for(self._engine, operator_id) as session:
            claimed = claim(session, operator_id, AT_ONCE, self._resting())
        if claimed:
            outcomes = list(pool.map(lambda one: self._tell(operator_id, one), claimed))
            with acting_for(self._engine, operator_id) as session:
                store(session, operator_id, outcomes)
            self._let_rest(operator_id, outcomes)
        return taken + len(claimed)

    def _tell(self, operator_id: int, one: Claimed) -> Outcome:
        try:
            url = self._box.open(one.url, channel_place(operator_id, one.channel))
        except SecretsError as error:
            return Outcome(one, "failed", f"The channel's address cannot be opened: {error}.")
        reached = notice_gateway.address(url, email=one.email, phone=one.phone)
        if isinstance(reached, Answer):
            return Outcome(one, reached.state, reached.explanation)
        message = message_of(one)
        return Outcome(one, *notice_gateway.send(reached, message.subject, message.body))

    def _resting(self) -> list[int]:
        now = time.monotonic()
        self._rests_until = {channel: until for channel, until in self._rests_until.items() if until > now}
        return list(self._rests_until)

    def _let_rest(self, operator_id: int, outcomes: Sequence[Outcome]) -> None:
        went = {one.claimed.channel_id for one in outcomes if one.state in ("sent", "skipped")}
        for channel_id, name in {(one.claimed.channel_id, one.claimed.channel) for one in outcomes}:
            if channel_id not in went:
                self._rests_until[channel_id] = time.monotonic() + REST_S
                log.warning("a channel takes no notices; it is left alone", operator_id=operator_id, channel=name)


def message_of(one: Claimed) -> Template:
    """A notice in words: the operator's own in the customer's language, or ours; else in the operator's, or English."""
    for language in one.languages:
        words = words_for([language])
        if language in one.templates:
            return written(words_for([language, *one.languages]), Template(*one.templates[language]), one.facts)
        if words.language == language:
            return written(words, our_template(words, one.event, one.facts), one.facts)
    words = words_for(one.languages)
    return written(words, our_template(words, one.event, one.facts), one.facts)
