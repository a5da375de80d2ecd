"""What every connector must do, whatever it is: known outcomes that never lie, nothing foreign touched, no secret told.

A new connector brings a harness (`contract_harness`), and its name stands below.
"""

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from contract_coa import CoaHarness
from contract_harness import FAST, GOOD, PASSWORD, RATES, SECRET, SLOW, Trouble, asynchronous
from contract_routeros import RouterOsHarness

from network.contract import Offer, Outcome
from sql.attempts import Attempt
from worker.outcomes import judge

HARNESSES = (CoaHarness, RouterOsHarness)
NAMES = ["no", "0123", "true", "łódź", "a \"quoted\" 'one'", "two\nlines", "a=b", "$x [y] \\", "-", "x" * 253]
# Nothing was learnt of the device: neither that it is so, nor that it is not.
UNKNOWN = {Outcome.NO_ANSWER, Outcome.UNREACHABLE, Outcome.UNKNOWN}
NONSENSE = {
    "nothing": b"",
    "zeros": bytes(64),
    "all ones": b"\xff" * 64,
    "a web server": b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n",
    "a word that never ends": b"\xf0\xff\xff\xff\xff" + b"x" * 4096,
    "let in, then nonsense": b"\x05!done\x06.tag=1\x00" + b"\x07!foobar\x00" * 9,
    "somebody else's answers": b"\x05!done\x06.tag=1\x00\x05!done\x06.tag=7\x00",
}

pytestmark = pytest.mark.parametrize("harness", HARNESSES, ids=lambda one: one.__name__)


@asynccontextmanager
async def customers(harness, caplog, *names):
    """Customers with the fast access; in the end whatever was said is looked at, and what others have."""
    caplog.set_level(logging.DEBUG)
    began_at = datetime.now(UTC)
    async with harness() as device:
        for name in names:
            await device.customer(name)
        before = device.others()
        assert before
        yield device
        assert device.others() == before
        for result in device.results:
            assert began_at <= result.started_at <= result.ended_at <= datetime.now(UTC)
            assert result.started_at.utcoffset() == result.ended_at.utcoffset() == began_at.utcoffset()
            assert result.explanation.endswith((".", ".)"))
            assert (result.round_trip_ms is None) or result.round_trip_ms >= 0
        evidence = [f"{one!r} {stored(one)}" for one in device.results]
        said = "\n".join([caplog.text, *evidence, *map(repr, device.errors)])
        assert not [secret for secret in (SECRET, PASSWORD, "hush-hush", "very own") if secret in said]


def stored(result):
    """The evidence as PostgreSQL takes it."""
    one = judge(Attempt(step_id=1, operator_id=1, service_id=1, attempt=1, target_stamp="", was_unknown=False), result)
    text = json.dumps([one.sent, one.reply, one.explanation], ensure_ascii=False)
    assert "\0" not in text
    return text.encode().decode()


@asynchronous
async def test_applied_is_so(harness, caplog):
    """What is said to be applied is on the device, for this customer alone; the same again changes nothing."""
    async with customers(harness, caplog, *NAMES) as device:
        for name in NAMES:
            ending = await device.bring(name, SLOW)
            assert (ending.outcome, ending.may_retry) == (Outcome.APPLIED, False)
            assert device.has(name) == RATES[SLOW], name
            again = await device.bring(name, SLOW)
            assert again.outcome in GOOD
            assert device.has(name) == RATES[SLOW]
            back = await device.bring(name, FAST)
            assert (back.outcome, device.has(name)) == (Outcome.APPLIED, RATES[FAST])
        assert {device.has(name) for name in NAMES} == {RATES[FAST]}


@asynchronous
async def test_an_end_is_an_end(harness, caplog):
    """What is ended is gone, the others are not, and ending it again finds that it is so already."""
    async with customers(harness, caplog, *NAMES) as device:
        for place, name in enumerate(NAMES):
            assert (await device.end(name)).outcome == Outcome.APPLIED
            assert device.has(name) is None
            assert (await device.end(name)).outcome == Outcome.ALREADY_SO
            assert {device.has(one) for one in NAMES[place + 1 :]} <= {RATES[FAST]}


@asynchronous
async def test_many_at_once_do_not_mix(harness, caplog):
    """Each customer gets what was meant for them."""
    names = [f"user{number}" for number in range(30)]
    wanted = {name: (SLOW, FAST)[place % 2] for place, name in enumerate(names)}
    async with customers(harness, caplog, *names) as device:
        endings = await asyncio.gather(*[device.bring(name, rate) for name, rate in wanted.items()])
        assert {ending.outcome for ending in endings} <= set(GOOD)
        assert {name: device.has(name) for name in names} == {name: RATES[rate] for name, rate in wanted.items()}


@asynchronous
async def test_refused_changes_nothing(harness, caplog):
    """A device that says no has what it had; trying the same again cannot help until somebody changes something."""
    async with customers(harness, caplog, "łódź") as device:
        await device.begin(Trouble.REFUSES)
        ending = await device.bring("łódź", SLOW)
        assert (ending.outcome, ending.may_retry) == (Outcome.REFUSED, False)
        assert ending.sent
        assert device.has("łódź") == RATES[FAST]


@pytest.mark.parametrize("trouble", [Trouble.SILENT, Trouble.DEAD, Trouble.BREAKS_OFF, Trouble.UNHEARD])
@asynchronous
async def test_what_is_not_known_is_not_said(harness, caplog, trouble):
    """No answer is neither yes nor no, whatever the device did; the same again, once it is well, ends well."""
    async with customers(harness, caplog, "0123") as device:
        await device.begin(trouble)
        ending = await device.bring("0123", SLOW)
        assert (ending.outcome in UNKNOWN, ending.may_retry) == (True, True)
        assert device.has("0123") == RATES[SLOW if trouble == Trouble.UNHEARD else FAST]
        await device.heal()
        again = await device.bring("0123", SLOW)
        assert (again.outcome in GOOD, device.has("0123")) == (True, RATES[SLOW])


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE.keys())
@asynchronous
async def test_nonsense_is_no_answer(harness, caplog, nonsense):
    """Whatever comes back, the verb ends in time, as something that is not known."""
    async with customers(harness, caplog, "no") as device:
        await device.babble(nonsense)
        assert (await device.bring("no", SLOW)).outcome in UNKNOWN
        assert device.has("no") == RATES[FAST]


@asynchronous
async def test_what_cannot_be_sent(harness, caplog):
    """A value that no device could read is refused, here or there, and changes nothing."""
    async with customers(harness, caplog, "no") as device:
        for rate in ("fast", "10M/50M\ud800"):
            ending = await device.bring("no", rate)
            assert (ending.outcome, ending.may_retry) == (Outcome.REFUSED, False)
            assert device.has("no") == RATES[FAST]


@asynchronous
async def test_what_is_offered_is_there(harness, caplog):
    """A connector sees, proves and takes back where it says so; where it does not, nobody can."""
    async with customers(harness, caplog, "a=b", "no") as device:
        assert {Offer.PLAN, Offer.APPLY} <= device.offers
        assert await device.bring("a=b", SLOW)
        for offer, verb in ((Offer.OBSERVE, device.shows), (Offer.VERIFY, device.shows)):
            if offer in device.offers:
                assert (await verb("a=b", SLOW), await verb("a=b", FAST)) == (True, False)
            else:
                with pytest.raises(NotImplementedError):
                    await verb("a=b", SLOW)
        if Offer.UNDO not in device.offers:
            with pytest.raises(NotImplementedError):
                await device.undo()
            return
        assert (await device.undo()).outcome == Outcome.APPLIED
        assert (device.has("a=b"), device.has("no")) == (RATES[FAST], RATES[FAST])
        assert (await device.undo()).outcome in (Outcome.REFUSED, Outcome.ALREADY_SO)
        assert device.has("a=b") == RATES[FAST]
