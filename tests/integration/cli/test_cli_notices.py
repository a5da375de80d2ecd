"""Channels, the operator's own words, and what became of notices, by command."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fixtures_database import Database
from sqlalchemy import text

from sql.roles import Role

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def gateway() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A gateway that takes everything: its port, and what came."""
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port, came
        server.shutdown()
        thread.join()


def test_a_channel_is_added_tested_and_ended(isp: Any, gateway: tuple[int, list[dict[str, Any]]]) -> None:
    """Its address is a secret, checked before it is stored and never shown; a test message goes through it."""
    port, came = gateway
    url = f"json://user:made-up-token@127.0.0.1:{port}/?:to={{email}}".encode()
    found = isp.ok("channel", "add", "mail", "--events", "invoice, receipt", "--address-stdin", typed=url + b"\n")
    assert found["events"] == ["invoice", "receipt"]
    assert "already" in isp.refused("channel", "add", "mail", "--address-stdin", typed=url)
    assert "made-up-token" not in isp("channel", "list", "--json").out
    assert isp.ok("channel", "test", "mail", "--email", "zofia@example.net")["state"] == "sent"
    assert came[0]["to"] == "zofia@example.net"
    assert "--email" in isp.refused("channel", "test", "mail")
    isp.ok("channel", "add", "dead", "--address-stdin", typed=b"json://127.0.0.1:1/")
    said = isp("channel", "test", "dead")
    assert (said.code, "failed" in said.out) == (1, True)
    isp.ok("channel", "end", "dead")
    assert [one["name"] for one in isp.ok("channel", "list")] == ["mail"]
    assert "no channel 'dead'" in isp.refused("channel", "end", "dead")


@pytest.mark.parametrize(
    ("url", "events", "said"),
    [
        (b"nonsense", "invoice", "Apprise"),
        (b"odd://example.net", "invoice", "Apprise"),
        (b"json://example.net/{name}", "invoice", "there is no {name} here; there are {email}, {phone}"),
        (b"json://example.net/", "birthday", "The event is not known"),
        (b"json://example.net/", " ,", "at least one event"),
        (b"", "invoice", "empty"),
        (b"json://example.net/" + b"x" * 2000, "invoice", "at most 1024 bytes"),
    ],
)
def test_an_address_that_cannot_be_is_refused(isp: Any, url: bytes, events: str, said: str) -> None:
    """In one sentence that does not repeat it, and nothing is stored."""
    refused = isp.refused("channel", "add", "x", "--events", events, "--address-stdin", typed=url + b"\n")
    assert said in refused
    assert "example.net/" not in refused.replace("@example.net?to", "")
    assert isp.ok("channel", "list") == []


def test_words_of_ones_own(isp: Any, tmp_path: Any) -> None:
    """Stored by event and language with known blanks alone; anything that looks like a program is refused."""
    assert {one["blank"] for one in isp.ok("template", "blanks", "invoice")} >= {"{name}", "{open}", "{due}"}
    file = tmp_path / "words"
    file.write_text("Dzień dobry {name},\nzapłać {open}. {{}}")
    isp.ok("template", "set", "invoice", "pl", "--subject", "Faktura {number}", "--file", str(file))
    assert isp("template", "show", "invoice", "pl").out.startswith("Faktura {number}\n\nDzień dobry {name},\n")
    words = ("template", "set", "invoice", "pl", "--subject")
    assert "no {username} here; there are {name}" in isp.refused(*words, "{username}", "--text", "x")
    for odd in ("{name.__class__}", "{0}", "{name!r}", "{", "{{{name}}"):
        assert "The text cannot be stored" in isp.refused(*words, "x", "--text", odd)
    assert "must not be empty" in isp.refused(*words, " ", "--text", "x")
    assert "two small letters" in isp.refused("template", "set", "invoice", "PL", "--subject", "x", "--text", "x")
    assert "The event 'odd' is not known" in isp.refused(
        "template", "set", "odd", "pl", "--subject", "x", "--text", "x"
    )
    assert "either by --text or by --file" in isp.refused(*words, "x")
    assert "cannot be read" in isp.refused(*words, "x", "--file", str(tmp_path / "none"))
    isp.ok("template", "remove", "invoice", "pl")
    assert isp.ok("template", "list") == []
    assert "ours are used" in isp.refused("template", "show", "invoice", "pl")


def test_failures_are_listed_and_sent_again(isp: Any, database: Database) -> None:
    """What failed, and what nobody knows: seen by all, sent again by a person, the latter by --unknown alone."""
    isp.ok("channel", "add", "mail", "--address-stdin", typed=b"json://127.0.0.1:1/")
    isp.ok("payment", "add", "K-1", "--amount", "5")
    isp.ok("payment", "add", "K-1", "--amount", "6")
    with database.acting(1, Role.WORKER) as session:
        session.execute(
            text(
                "INSERT INTO notice_deliveries (operator_id, notice_id, channel_id, due_at, state, "
                "explanation, attempts) "
                "SELECT 1, id, 1, now(), CASE id WHEN 1 THEN 'failed' ELSE 'unknown' END, 'It said no.', 7 FROM notices"
            )
        )
        session.execute(text("UPDATE notices SET taken_at = now()"))
    rows = isp.ok("notice", "list", "--failed")
    assert [(one["id"], one["state"], one["said"]) for one in rows] == [
        (2, "unknown", "It said no."),
        (1, "failed", "It said no."),
    ]
    assert isp.ok("notice", "show", "1")[0]["channel"] == "mail"
    assert isp.ok("notice", "list", "--subscriber", "K-1", "--before", "2")[0]["id"] == 1
    assert isp.ok("notice", "retry", "2")["again"] == 0
    assert isp.ok("notice", "retry", "--channel", "mail")["again"] == 1
    assert isp.ok("notice", "retry", "2", "--unknown")["again"] == 1
    assert isp("notice", "list", "--failed").out == "Nothing failed.\n"
    assert "no notice 9" in isp.refused("notice", "show", "9")
    assert "which notice" in isp.refused("notice", "retry")
    (told, _) = isp.ok("timeline", "zofia", "--kind", "notice")
    assert told["sentence"].startswith("Notice (receipt) by mail waits until")
