"""`ispagents router script`: secrets are made when asked and shown once, and the file is nobody else's."""

import json
from pathlib import Path
from typing import Any

import pytest
from fixtures_database import BOX, Database

from sql.secrets import router_api_place, router_secret_place

SERVER = ("--server", "192.0.2.10")
NONSENSE: tuple[tuple[tuple[str, ...], str], ...] = (
    ((), "--server ADDRESS"),
    (("--server", "radius.example.net"), "is not an address"),
    (("--server", "0.0.0.0"), "No router reaches"),  # noqa: S104 - refused
    ((*SERVER, "--for", "8"), "'8'"),
    ((*SERVER, "--undo", "--new-secrets"), "no secrets"),
    ((*SERVER, "--no-api", "--new-password"), "leaves the API alone"),
    ((*SERVER, "--service", "login"), "login"),
    ((*SERVER, "--ntp", "time server"), "time server"),
    ((*SERVER, "--time-zone", "Mars/Olympus"), "Mars"),
)


@pytest.fixture(autouse=True)
def same_box(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands seal with the key that the test opens with."""
    monkeypatch.setattr("ispagents.cli.common.box", lambda: BOX)


@pytest.fixture
def tower(isp: Any) -> Any:
    """The command line with a router `tower` that asks RADIUS and has no API yet."""
    isp.ok("router", "add", "tower", "--address", "10.1.1.1", "--generate-secret", "--coa-port", "1700")
    return isp


def _stored(database: Database) -> tuple[str, str]:
    """The RADIUS secret and the API's password; "" where there is none."""
    with database.as_superuser() as connection:
        row = connection.execute("SELECT operator_id, name, secret, api_password FROM routers").fetchone()
    assert row is not None
    operator_id, name, secret, password = row
    places = (router_secret_place(operator_id, name), router_api_place(operator_id, name))
    first, second = (
        BOX.open(bytes(sealed), place) if sealed is not None else ""
        for sealed, place in zip((secret, password), places, strict=True)
    )
    return first, second


def test_secrets_are_made_when_asked_and_shown_once(tower: Any, database: Database) -> None:
    """The script has what is stored; without asking nothing is made, and the audit knows no secret."""
    old = _stored(database)
    row = tower.ok("router", "script", "tower", *SERVER)
    assert (row["made"], _stored(database)) == ([], old)
    assert "--new-secrets" in row["script"]
    row = tower.ok("router", "script", "tower", *SERVER, "--new-secrets", "--for", "6")
    secret, password = _stored(database)
    assert row["made"] == ["RADIUS secret", "API password"]
    assert secret != old[0]
    assert [row["script"].count(one) for one in (secret, password)] == [1, 1]
    assert "port=1700" in row["script"]
    assert tower.ok("router", "api", "show", "tower")["api_user"] == "ispagents"
    row = tower.ok("router", "script", "tower", *SERVER, "--new-password")
    assert (row["made"], _stored(database)[0]) == (["API password"], secret)
    assert _stored(database)[1] not in (password, "")
    for words in ((*SERVER,), ("--undo",)):
        text = tower("router", "script", "tower", *words).out
        assert not any(one in text for one in _stored(database))
    with database.as_superuser() as connection:
        events = str(connection.execute("SELECT data FROM audit_events").fetchall())
    assert not any(one in events for one in (*_stored(database), secret, password))


def test_a_file_is_ours_alone_and_new(tower: Any, tmp_path: Path) -> None:
    """Mode 0600, never over another file, and gone again where the script could not be made."""
    file = tmp_path / "tower.rsc"
    row = tower.ok("router", "script", "tower", *SERVER, "--new-secrets", "--out", str(file))
    assert "script" not in row
    assert file.stat().st_mode & 0o777 == 0o600
    assert "/radius add" in file.read_text()
    assert "is there already" in tower.refused("router", "script", "tower", *SERVER, "--out", str(file))
    other = tmp_path / "other.rsc"
    tower.refused("router", "script", "nowhere", *SERVER, "--out", str(other))
    assert not other.exists()
    assert "cannot be written" in tower.refused("router", "script", "tower", *SERVER, "--out", str(tmp_path / "no/x"))
    assert "/import" in tower("router", "script", "tower", "--undo", "--out", str(other)).out


def test_a_router_without_radius_gets_its_api_and_the_garden_of_its_style(isp: Any, tmp_path: Path) -> None:
    """No RADIUS commands; what the style names is allowed."""
    words = ("--address", "10.1.1.1", "--no-radius", "--api-user", "no", "--generate-api-password")
    isp.ok("router", "add", "field", *words)
    style = tmp_path / "style.json"
    style.write_text(json.dumps({"garden": {"hosts": ["pay.example.net"]}}))
    isp.ok("router", "api", "set", "field", "--style", str(style))
    script = isp.ok("router", "script", "field", *SERVER, "--ntp", "192.0.2.1", "--time-zone", "Europe/Warsaw")[
        "script"
    ]
    assert "/radius" not in script
    assert 'name="no"' in script
    assert "pay.example.net" in script
    assert "no RADIUS secret" in isp.refused("router", "script", "field", *SERVER, "--service", "ppp")
    row = isp.ok("router", "script", "field", *SERVER, "--service", "ppp", "--new-secrets")
    assert "/radius add service=ppp " in row["script"]
    assert isp.ok("router", "show", "field")["radius"] is True


def test_nonsense_is_refused_and_makes_no_secret(tower: Any, database: Database) -> None:
    """One sentence, and what is stored stays."""
    old = _stored(database)
    for words, said in NONSENSE:
        assert said in tower.refused("router", "script", "tower", *words)
        if "--undo" not in words and "--no-api" not in words:
            assert said in tower.refused("router", "script", "tower", *words, "--new-secrets")
    assert _stored(database) == old
