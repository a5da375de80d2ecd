"""What a router hears when something is missing or broken: nothing, so that it asks its other server."""

import subprocess
import sys
from pathlib import Path

import pytest
from fixtures_freeradius import ACCEPT, REJECT, Router, router_row, service_row

from edge.replica_writer import ReplicaWriter
from radius_module.records import service_key

ROOT = Path(__file__).parents[3]
# Edge as it writes and is then killed.
KILLED_EDGE = """
import os, signal, sys
from pathlib import Path
from edge.replica_writer import ReplicaWriter
writer = ReplicaWriter.take_over(Path(sys.argv[1]))
with writer:
    writer.put_operator(1, "{}")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_without_a_replica_nobody_is_answered_until_it_is_there(server, router, add):
    """Neither known nor unknown users, by no protocol; and with the replica everything is as before."""
    add("anna")
    assert router.pap("anna", "right password").code == ACCEPT
    with server.without_replica():
        for ask in (router.pap, router.chap, router.mschap):
            assert ask("anna", "right password", silent=True) is None
        assert router.pap("nobody", "any password", silent=True) is None
    assert router.pap("anna", "right password").code == ACCEPT


def test_a_router_met_without_a_replica_is_met_again(server, router, add):
    """That the server could not know it then is not remembered against it."""
    add("anna")
    with server.without_replica():
        assert router.pap("anna", "right password", silent=True) is None
    assert router.pap("anna", "right password").code == ACCEPT


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"plan_version_id": 999_999}, "no plan version 999999"),
        ({"plan": '{"nonsense": 1}'}, "'nonsense' is not known here"),
        ({"plan": "{torn"}, "cannot be read"),
        ({"address": "none at all"}, "Framed-IP-Address cannot be 'none at all'"),
    ],
)
def test_a_broken_fact_ends_in_silence(server, router, add, broken, said):
    """The log says what is wrong, others log in, and mended it works."""
    server.stop()
    server.start()  # our own complaints come once in ten seconds for each kind; this one shall be the first
    service_id = add("anna", **broken)
    before = len(server.log())
    assert router.pap("anna", "right password", silent=True) is None
    assert router.mschap("anna", "right password", silent=True) is None
    assert said in server.log()[before:]
    add("berta")
    assert router.pap("berta", "right password").code == ACCEPT
    server.add(service_row("anna", service_id, operator_id=router.operator))
    assert router.pap("anna", "right password").code == ACCEPT


@pytest.mark.parametrize(
    "value", [b"", b"\x20", b"\xa0\x01\0\0\0\x05\0[1", b"\xa0\x01\0\0\0\x04\0null", b"\x3c\x01\0\0\0x"]
)
def test_a_record_that_says_nothing_ends_in_silence(server, router, add, value):
    """Whatever stands there whole but senseless, nobody is refused for it."""
    add("berta")
    with server.writer:
        server.writer._table.put(service_key(router.operator, "anna"), value, 999_999)  # as a defect of edge would
    assert router.pap("anna", "right password", silent=True) is None
    assert router.pap("berta", "right password").code == ACCEPT


@pytest.mark.parametrize("protocol", ["pap", "chap", "mschap"])
@pytest.mark.parametrize("bad", [b"\xff\xfe", b"anna\xc3", b"\xed\xa0\x80"])
def test_a_name_that_is_no_utf8_is_refused(router, bad, protocol, notes):
    """Nobody is called that: a signed Reject, not silence, or the router would think the server dead."""
    reply = getattr(router, protocol)(bad, "any password")
    assert (reply.code, reply.signed) == (REJECT, True)
    assert notes() == []


@pytest.mark.parametrize("name", ["NAS_Port_Id", "Calling_Station_Id", "Called_Station_Id", "NAS_Identifier"])
def test_any_text_that_is_no_utf8_is_refused(router, add, name):
    """Python cannot read such a request; the next one is answered as ever."""
    add("anna")
    assert router.pap("anna", "right password", **{name: b"ether\xff"}).code == REJECT
    assert router.pap("anna", "right password", **{name: b"ether1"}).code == ACCEPT


def test_edge_may_restart_while_logins_go_on(server, router, add):
    """Its next run goes on with the same file."""
    add("anna")
    server.writer.close()
    assert router.pap("anna", "right password").code == ACCEPT
    server.writer = ReplicaWriter.take_over(server.layout.replica)
    assert router.pap("anna", "right password").code == ACCEPT
    service_id = add("berta")
    assert router.pap("berta", "right password").session_class.service_id == service_id


def test_freeradius_may_restart_without_edge(server, router, add):
    """Cleanly stopped, edge leaves a file that the server's own user can read."""
    add("anna")
    server.writer.close()
    server.stop()
    server.start()
    assert router.pap("anna", "right password").code == ACCEPT
    server.writer = ReplicaWriter.take_over(server.layout.replica)


def test_freeradius_may_restart_after_edge_was_killed(server, router, add):
    """Killed in the middle of its work, edge leaves a table that can be read, and gone on with."""
    add("anna")
    server.writer.close()
    killed = subprocess.run([sys.executable, "-c", KILLED_EDGE, server.layout.replica], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert router.pap("anna", "right password").code == ACCEPT
    server.stop()
    server.start()
    assert router.pap("anna", "right password").code == ACCEPT
    server.writer = ReplicaWriter.take_over(server.layout.replica)
    add("berta")
    assert router.pap("berta", "right password").code == ACCEPT


def test_login_ids_never_repeat_across_a_restart(server, router, add):
    """Or two sessions would be one."""
    add("anna")
    ids = [router.pap("anna", "right password").session_class.login_id for _ in range(3)]
    server.stop()
    server.start()
    ids += [router.pap("anna", "right password").session_class.login_id for _ in range(3)]
    assert len(set(ids)) == 6


def test_an_unknown_source_hears_nothing(server, add, router):
    """There is no secret to sign an answer with."""
    add("anna")
    stranger = Router(server, "127.9.9.9")
    assert stranger.pap("anna", "right password", silent=True) is None
    assert stranger.account(1, "anna", "81", silent=True) is None


def test_a_router_works_as_soon_as_it_is_added(server, add, router):
    """No restart, and no wait after its first packets were not known."""
    service_id = add("anna")
    new = Router(server, "127.8.0.1", b'its "own" \\ secret \xc5\x82', operator=router.operator)
    assert new.pap("anna", "right password", silent=True) is None
    server.add_router(router_row(new.address, 900_001, new.secret.decode(), operator=router.operator))
    assert new.pap("anna", "right password").session_class.service_id == service_id


def test_a_removed_router_is_silent_at_once(server, router, add):
    """Its logins are not answered any more, though the server still keeps its secret for a while."""
    add("anna")
    assert router.pap("anna", "right password").code == ACCEPT
    server.add_router(router_row(router.address, router.operator), removed=True)
    assert router.pap("anna", "right password", silent=True) is None
    assert router.pap("nobody", "any password", silent=True) is None
    server.add_router(router_row(router.address, router.operator, operator=router.operator))
    assert router.pap("anna", "right password").code == ACCEPT


def test_a_router_may_change_hands(server, router, add, notes):
    """From the next login on, another operator's services answer on it."""
    add("anna")
    assert router.pap("anna", "right password").code == ACCEPT
    server.add_router(router_row(router.address, router.operator, operator=1))
    assert router.pap("anna", "right password").code == REJECT
    assert [(note["operator"], note["reason"]) for note in notes()] == [("1", "unknown_user")]


def test_signatures_are_asked_for_where_the_router_sends_them(server, router, add):
    """Required, an unsigned request is dropped; not required, it is answered, and signed all the same."""
    add("anna")
    reply = router.pap("anna", "right password", signed=False)
    assert (reply.code, reply.signed) == (ACCEPT, True)
    strict = Router(server, "127.8.0.2", operator=router.operator)
    server.add_router(router_row(strict.address, 900_002, signed=True, operator=router.operator))
    assert strict.pap("anna", "right password").code == ACCEPT
    assert strict.pap("anna", "right password", signed=False, silent=True) is None
    assert strict.chap("anna", "right password", signed=False, silent=True) is None


def test_a_wrong_signature_is_dropped_everywhere(server, router, add):
    """Signed with another secret, also where no signature is required."""
    add("anna")
    forger = Router(server, router.address, b"another secret", operator=router.operator)
    assert forger.chap("anna", "right password", silent=True) is None
    assert forger.account(1, "anna", "81", silent=True) is None
