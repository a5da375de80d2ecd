"""`ispagents router api` and routers without RADIUS: how a router's API is reached, and what is never shown of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from fixtures_database import BOX, Database

from sql.secrets import router_api_place

FINGERPRINT = "AB:" * 31 + "CD"
PLAIN = ("--security", "plain")
NONSENSE: tuple[tuple[tuple[str, ...], str], ...] = (
    ((), "Nothing was named"),
    (("--fingerprint", "xyz"), "no SHA-256"),
    (("--fingerprint", "a" * 63), "no SHA-256"),
    (("--fingerprint", FINGERPRINT, *PLAIN), "leave one of the two out"),
    (("--server-name", "r1", *PLAIN), "leave one out"),
    (("--security", "pinned"), "--fingerprint"),
    (("--security", "none"), "none"),
    (("--user", ""), "empty"),
    (("--user", "x" * 254), "254 bytes"),
    (("--address", "router.example"), "not an IP address"),
    (("--port", "65536"), "65535"),
    (("--password-stdin", "--generate-password"), "one way only"),
    (("--password-stdin",), "empty"),
    (("--password-file", "/nowhere"), "cannot be read"),
)


@pytest.fixture
def tower(isp: Any) -> Any:
    """The command line with a router `tower` that asks RADIUS and has no API yet."""
    isp.ok("router", "add", "tower", "--address", "10.1.1.1", "--generate-secret")
    return isp


def _password(database: Database, name: str) -> str:
    with database.as_superuser() as connection:
        (operator_id, sealed) = connection.execute(
            "SELECT operator_id, api_password FROM routers WHERE name = %s", (name,)
        ).fetchone() or (0, b"")
    return BOX.open(bytes(sealed), router_api_place(operator_id, name))


@pytest.fixture(autouse=True)
def same_box(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands seal with the key that the test opens with."""
    monkeypatch.setattr("ispagents.cli.common.box", lambda: BOX)


def test_an_api_is_set_piece_by_piece(tower: Any, database: Database) -> None:
    """What is not named stays; the usual port follows the security; the password is shown once, and sealed."""
    row = tower.ok("router", "api", "set", "tower", "--user", "łódź", "--generate-password")
    assert (row["api_address"], row["api_port"], row["api_security"]) == ("10.1.1.1", 8729, "verified")
    generated = row["password"]
    assert _password(database, "tower") == generated
    assert len(generated) == 32
    row = tower.ok("router", "api", "set", "tower", "--fingerprint", FINGERPRINT)
    assert (row["api_security"], row["api_fingerprint"]) == ("pinned", "ab" * 31 + "cd")
    assert (row["api_user"], "password" in row) == ("łódź", False)
    row = tower.ok("router", "api", "set", "tower", "--address", "10.9.9.9", "--port", "9000", "--old-login")
    assert (row["api_address"], row["api_port"], row["api_old_login"]) == ("10.9.9.9", 9000, True)
    assert row["api_fingerprint"] is not None
    row = tower.ok("router", "api", "set", "tower", *PLAIN, "--address", "", "--port", "0", "--no-old-login")
    assert (row["api_address"], row["api_port"], row["api_fingerprint"]) == ("10.1.1.1", 8728, None)
    row = tower.ok("router", "api", "set", "tower", "--server-name", "r1.example.net", "--security", "verified")
    assert (row["api_server_name"], row["api_port"]) == ("r1.example.net", 8729)
    tower.ok("router", "api", "set", "tower", "--password-stdin", typed="ł no\n".encode())
    assert _password(database, "tower") == "ł no"
    assert tower.ok("router", "list")[0]["api"] == "verified"
    tower.ok("router", "api", "clear", "tower")
    assert tower.ok("router", "show", "tower")["api"] == ""
    with database.as_superuser() as connection:
        events = str(connection.execute("SELECT event, data FROM audit_events ORDER BY id").fetchall())
    assert events.count("router:api:set") == 6
    assert "router:api:clear" in events
    assert "ł no" not in events
    assert generated not in events


def test_a_router_without_radius_has_an_api(isp: Any, database: Database) -> None:
    """It has no RADIUS secret, is told so, and cannot lose its API; one of the two there must be."""
    words = ("--address", "10.1.1.1", "--no-radius")
    row = isp.ok("router", "add", "field", *words, "--api-user", "api", "--generate-api-password")
    assert (row["radius"], row["api"], "secret" in row) == (False, "verified", False)
    assert _password(database, "field") == row["api_password"]
    assert "no RADIUS secret" in isp.refused("router", "api", "clear", "field")
    assert "--api-user" in isp.refused("router", "add", "x", *words)
    assert "one of the two" in isp.refused("router", "add", "x", *words, "--generate-secret", "--api-user", "a")
    assert "needs a user" in isp.refused(
        "router", "add", "x", "--address", "10.1.1.2", "--generate-secret", "--generate-api-password"
    )
    both = ("--secret-stdin", "--api-password-stdin", "--api-user", "a")
    assert "not both" in isp.refused("router", "add", "x", "--address", "10.1.1.2", *both, typed=b"one\ntwo\n")
    pinned = ("--api-fingerprint", FINGERPRINT, "--api-password-stdin", "--generate-secret", "--api-user", "0123")
    row = isp.ok("router", "add", "both", "--address", "10.1.1.3", *pinned, typed=b"no\n")
    assert (row["radius"], row["api"], row["api_user"], len(row["secret"])) == (True, "pinned", "0123", 32)
    assert [one["radius"] for one in isp.ok("router", "list")] == [True, False]
    assert max(len(line) for line in isp("router", "list").out.splitlines()) <= 100


def test_a_style_is_read_from_a_file(tower: Any, tmp_path: Path) -> None:
    """With the walled garden in it, without what is as usual; another one replaces it."""
    tower.ok("router", "api", "set", "tower", "--user", "api", "--generate-password")
    file = tmp_path / "style.json"
    style = {"ppp": "queue", "hotspot": "profile", "garden": {"pay_address": "192.0.2.80", "pay_port": 80}}
    file.write_text(json.dumps(style))
    row = tower.ok("router", "api", "set", "tower", "--style", str(file))
    assert row["style"] == {"ppp": "queue", "garden": {"pay_address": "192.0.2.80"}}
    file.write_text("{}")
    assert tower.ok("router", "api", "set", "tower", "--style", str(file))["style"] == {}
    for text, words in (
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ('{"speed": 1}', "'speed' is not known"),
        ('{"garden": {"hosts": ["*"]}}', "garden: hosts:"),
        ('{"denied_list": ""}', "denied_list"),
        ("[" * 100_000, "not JSON"),
        ("x" * 300_000, "larger"),
        ("\udcff", "UTF-8"),
    ):
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert words in tower.refused("router", "api", "set", "tower", "--style", str(file)), text[:20]
    file.write_text('{"ppp": "queue", "garden": {"pay_port": 80, "pay_port": 81}}')
    said = tower.refused("router", "api", "set", "tower", "--style", str(file))
    assert "'pay_port' is there more than once" in said
    assert "cannot be read" in tower.refused("router", "api", "set", "tower", "--style", str(tmp_path))


def test_an_api_that_controls_services_is_not_forgotten(tower: Any, database: Database) -> None:
    """Neither cleared nor removed while the router's configuration holds somebody."""
    tower.ok("router", "api", "set", "tower", "--user", "api", "--generate-password")
    with database.as_superuser() as connection:
        connection.execute("UPDATE services SET control_router_id = (SELECT id FROM routers)")
    for words in (("api", "clear", "tower"), ("remove", "tower")):
        assert "1 services are controlled" in tower.refused("router", *words)


def test_nonsense_is_refused_and_changes_nothing(tower: Any) -> None:
    """One sentence, and everything as before."""
    tower.ok("router", "api", "set", "tower", "--user", "api", "--generate-password")
    before = tower.ok("router", "api", "show", "tower")
    for words, said in NONSENSE:
        assert said in tower.refused("router", "api", "set", "tower", *words)
    assert tower.ok("router", "api", "show", "tower") == before


def test_the_first_time_needs_a_user_and_a_password(tower: Any) -> None:
    """Neither alone is enough; nobody is asked where there is no terminal."""
    assert "--password-stdin" in tower.refused("router", "api", "set", "tower", "--user", "api")
    assert "user name and a password" in tower.refused("router", "api", "set", "tower", "--generate-password")
    assert "user name and a password" in tower.refused("router", "api", "set", "tower", "--port", "8729")
    for words in (("set", "nowhere", "--port", "1"), ("show", "nowhere"), ("clear", "nowhere")):
        assert "There is no router" in tower.refused("router", "api", *words)


def test_a_service_says_which_router_holds_it(isp: Any) -> None:
    """Whether the router's own configuration decides, or RADIUS, is seen where the service is."""
    isp.ok(
        "router", "add", "hill", "--address", "127.0.0.1", "--no-radius", "--api-user", "api", "--generate-api-password"
    )
    isp.ok("plan", "add", "Home", "--rate", "1M/1M", "--price", "1.00")
    isp.ok("subscriber", "add", "C9", "Anna")
    isp.ok("service", "add", "anna", "--subscriber", "C9", "--plan", "Home", "--generate-password")
    assert isp.ok("service", "show", "anna")["held_by"] == ""
    isp.ok("service", "place", "anna", "--router", "hill")
    assert isp.ok("service", "show", "anna")["held_by"] == "hill"
