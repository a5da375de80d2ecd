"""Customers are told at shares of their quota: once a share and span, and in the morning only what still holds."""

from datetime import UTC, datetime, timedelta

import pytest
from fixtures_database import ACTOR, BOX
from gateway import running_gateway
from metered import GB, Meter

from policy.usage import SpanKind
from sql.customers import set_operator
from sql.notice_settings import add_channel, set_template
from sql.roles import Role
from sql.topups import top_up
from worker.notices import Teller

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

TIERS = [{"from_bytes": 100 * GB, "rate_limit": "2M/2M", "span": "month"}]


@pytest.fixture
def gateway():
    """A gateway that takes everything."""
    with running_gateway() as found:
        yield found


@pytest.fixture
def isp(database, gateway):
    """An operator in Warsaw with one channel for everything."""
    isp = database.isp(time_zone="Europe/Warsaw")
    with isp.web() as session:
        events = ("usage", "receipt")
        add_channel(session, isp.operator_id, name="mail", url=gateway.url, events=events, box=BOX, actor=ACTOR)
    return isp


def metered(isp, language="en", username="zofia", **facts):
    """A service with 100 GB a month, whose customer can be reached."""
    line = Meter(isp, username, **({"tiers": TIERS} | facts))
    line.query(
        "UPDATE subscribers SET email = 'zofia@example.net', language = %s WHERE id = %s",
        language,
        line.service.subscriber_id,
    )
    return line


def use(line, counted):
    """So many bytes are counted in all; edge and worker do what they do then, and customers are told."""
    line.count(counted)
    line.work()
    Teller(line.isp.database.engine(Role.WORKER), BOX).look()


def stories(line):
    """What became of each notice, in order."""
    return line.query(
        "SELECT data ->> 'percent', state, explanation FROM notices JOIN notice_deliveries ON notice_id = id "
        "WHERE event = 'usage' ORDER BY id"
    )


def test_each_share_is_told_once_in_a_span(isp, gateway):
    """At 80 and at 100 percent, however often it is looked at; what is left, and then what follows."""
    line = metered(isp, "es")
    use(line, 79 * GB)
    assert gateway.messages == []
    for counted in (80, 81, 99):
        use(line, counted * GB)
    assert [one["to"] for one in gateway.messages] == ["zofia@example.net"]
    assert "80" in gateway.messages[0]["title"]
    use(line, 100 * GB)
    use(line, 140 * GB)
    # Whatever is forgotten, the key of the notice is not.
    line.query("UPDATE usage_spans SET warned_percent = 0")
    use(line, 141 * GB)
    assert len(gateway.messages) == 2
    assert "desde ahora es más lento" in gateway.messages[1]["message"]
    began = line.starts_at - timedelta(days=20)
    line.count(200 * GB, starts_at=began, ends_at=line.starts_at)  # late, for a month that is over
    use(line, 142 * GB)
    assert len(gateway.messages) == 2


def test_of_two_shares_at_once_the_higher_is_told_and_the_operators_words_are_used(isp, gateway):
    """Who comes back after an outage of ours is not told of yesterday's share."""
    with isp.web() as session:
        words = {"language": "en", "subject": "{percent} {username}", "body": "{used}/{allowed}, {left}, {anew}"}
        set_template(session, isp.operator_id, event="usage", actor=ACTOR, **words)
    line = metered(isp)
    use(line, 130 * GB)
    (told,) = gateway.messages
    assert told["title"] == "100% zofia"
    assert told["message"].replace("\xa0", " ").startswith("130 GB/100 GB, 0 MB, ")


def test_a_tier_on_the_way_is_told_too(isp, gateway):
    """Who is slower from 100 GB on hears of it, though it is a third of what the plan has; once."""
    hard = {"from_bytes": 300 * GB, "action": "restrict", "span": "month"}
    line = metered(isp, tiers=[*TIERS, hard])
    for counted in (99, 100, 120, 240, 300):
        use(line, counted * GB)
    told = [one["message"].replace("\xa0", " ") for one in gateway.messages]
    assert ["100 GB of 100 GB and is slower" in told[0], "60 GB are left" in told[1], "restricted" in told[2]] == [
        True
    ] * 3
    assert len(told) == 3


def test_carried_bytes_are_part_of_the_whole(isp, gateway):
    """With 50 GB of the month before, 80 GB are little more than half."""
    line = metered(isp, carry_over_bytes=50 * GB)
    line.count(40 * GB, starts_at=line.starts_at - timedelta(days=28), ends_at=line.starts_at)
    use(line, 81 * GB)
    assert gateway.messages == []
    use(line, 120 * GB)
    assert "120" in gateway.messages[0]["message"]
    assert "150" in gateway.messages[0]["message"]


def test_what_does_not_hold_any_more_in_the_morning_is_not_told(isp, gateway):
    """Of a night only the last share is told, unless the customer bought more or counting has begun anew."""
    clock = datetime.now(UTC)
    hours = [(clock + timedelta(hours=one)).time().replace(microsecond=0) for one in (-3, 3)]
    line, bought, ended, left = (metered(isp, username=name) for name in ("zofia", "adam", "ewa", "jan"))
    with isp.web() as session:
        set_operator(session, isp.operator_id, actor=ACTOR, time_zone="UTC")
        set_operator(session, isp.operator_id, actor=ACTOR, quiet_from=hours[0], quiet_until=hours[1])
    use(line, 80 * GB)
    for one in (line, bought, ended, left):
        use(one, 100 * GB)
    assert gateway.messages == []
    with isp.web() as session:
        service = session.merge(bought.service)
        more = {"span": SpanKind.MONTH, "more_bytes": GB, "keeps": False, "reason": "x", "sold": None}
        top_up(session, service, actor=ACTOR, **more)
    line.query(
        "UPDATE notices SET data = data || jsonb_build_object('ends_at', now()) WHERE service_id = %s", ended.service.id
    )
    line.query("UPDATE services SET closed_at = now(), standing = 'closed' WHERE id = %s", left.service.id)
    with isp.web() as session:
        set_operator(session, isp.operator_id, actor=ACTOR, quiet_from=None, quiet_until=None)
    line.query("UPDATE notice_deliveries SET due_at = now()")
    use(line, 101 * GB)
    assert [row[:2] for row in stories(line)] == [
        ("80", "skipped"),
        ("100", "sent"),
        ("100", "skipped"),
        ("100", "skipped"),
        ("100", "skipped"),
    ]
    assert [row[2].split(" before")[0] for row in stories(line) if row[1] == "skipped"] == [
        "More of the limit was used",
        "The customer had got more bytes",
        "Counting had begun anew",
        "The service was closed",
    ]
