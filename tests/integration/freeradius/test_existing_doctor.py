"""The doctor: each thing that can be wrong with a set-up, on a real one, and what it says where all is well."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fixtures_existing_freeradius import Existing, OldRouter, existing_freeradius
from fixtures_freeradius import CONTROL, SECRET, router_row

from ispagents.existing_freeradius import doctor_files
from ispagents.existing_freeradius.layout import find

SIGN = "\t\tupdate reply {\n\t\t\t&Message-Authenticator := 0x00\n\t\t}\n"


def well(world: Existing) -> None:
    """What the doctor finds unwise in the distribution's files, mended."""
    world.change("sites-available/default", ("\npost-auth {\n", "\npost-auth {\n" + SIGN))
    world.change("sites-available/default", ("\tPost-Auth-Type REJECT {\n", "\tPost-Auth-Type REJECT {\n" + SIGN))


@pytest.fixture(scope="module")
def world():
    with existing_freeradius(well) as one:
        assert one.install() == 0
        yield one


@pytest.fixture
def changed(world):
    """Edit its files for one test; they are put back."""
    kept = world.snapshot()

    def change(name: str, *changes: tuple[str, str]) -> None:
        world.change(name, *changes)

    yield change
    for name, (content, *_) in kept.items():
        path = world.raddb / name
        if isinstance(content, bytes) and path.read_bytes() != content:
            path.write_bytes(content)
    for path in world.raddb.rglob("*"):
        if str(path.relative_to(world.raddb)) not in kept:
            path.unlink()


def files_say(world: Existing) -> dict[str, str]:
    """What the files alone tell: by code, all sentences."""
    existing = find(world.raddb)
    said: dict[str, str] = {}
    for one in doctor_files.examine(existing, existing.server("default"), joined=True):
        said[one.code] = said.get(one.code, "") + one.said
    return said


HOOKED = "\tispagents_authorize {\n\t\tok = return\n\t}\n"
POST_AUTH = "\tispagents_post_auth {\n\t\tok = return\n\t}\n"
SITE, MAIN, CLIENTS = "sites-available/default", "radiusd.conf", "clients.conf"


@pytest.mark.parametrize(
    ("name", "changes", "code", "words"),
    [
        (SITE, [(HOOKED, "")], "hook_missing", "nobody of ours is answered by us"),
        (SITE, [("\tispagents_accounting\n", "")], "hook_missing", "never reach ISPAgents"),
        (SITE, [("\tAuth-Type ispagents {\n\t\tispagents_authenticate\n\t}\n", "")], "hook_missing", "never proved"),
        (SITE, [(HOOKED, ""), ("\n\t-ldap\n", "\n\t-ldap\n" + HOOKED)], "order", "filter_username comes before"),
        (SITE, [(HOOKED, "\tfiles\n" + HOOKED)], "order", "files comes before ispagents_authorize and answers names"),
        (SITE, [(HOOKED, "\tif (1) {\n\tsuffix\n}\n" + HOOKED)], "order", "to another server"),
        (SITE, [("ispagents_authorize {\n\t\tok = return\n", "ispagents_authorize {\n")], "no_return", "others decide"),
        (SITE, [(POST_AUTH + SIGN, POST_AUTH)], "unsigned", "RouterOS 7.15"),
        (SITE, [(POST_AUTH, "\texec\n" + POST_AUTH)], "order", "logins of ours are refused"),
        (MAIN, [("\treject_delay = 0\n", "\treject_delay = 1\n")], "reject_delay", "after 1 s"),
        (MAIN, [("\tmax_servers = 32\n", "\tmax_servers = 500\n")], "threads", "500 threads"),
        (CLIENTS, [("\tipaddr = 127.0.0.0/8\n", "\tipaddr = 10.0.0.0/8\n\tsecret = testing123\n}\nclient b {\n")],
         "well_known_secret", "routers (10.0.0.0/8)"),
        (CLIENTS, [("client routers {\n", "client twin {\n\tipaddr = ::1\n\tsecret = b\n}\nclient routers {\n")],
         "client_twice", "twin and localhost_ipv6"),
        (CLIENTS, [("client routers {\n", "client bare {\n\tipaddr = 10.1.1.1\n}\nclient routers {\n")],
         "client_without_secret", "bare"),
    ],
)  # fmt: skip
def test_what_the_files_tell(world, changed, name, changes, code, words):
    """Each mistake alone is found, and said in words."""
    assert code not in files_say(world)
    changed(name, *changes)
    assert words in files_say(world)[code]


def test_a_second_python_module_is_found(world, changed):
    """Whatever its name."""
    (world.raddb / "mods-enabled" / "other").write_text("python3 {\n\tmodule = example\n}\n")
    assert "More than one Python module" in files_say(world)["two_pythons"]


def test_a_copy_that_an_editor_left_is_found(world, changed):
    """The server reads every file of such a folder, whatever its end is called."""
    (world.raddb / "mods-enabled" / "pap.bak").write_text("pap another {\n}\n")
    assert "pap.bak" in files_say(world)["copy"]


def test_a_python_module_of_another_python_is_found_and_refused(world, changed, tmp_path, capsys):
    """By what it is linked against."""
    (tmp_path / "rlm_python3.so").write_bytes(b"\x7fELF\0libpython3.9.so.1.0\0")
    changed("radiusd.conf", ("\nlibdir = /usr/lib/freeradius\n", f"\nlibdir = {tmp_path}\n"))
    assert "built against Python 3.9" in files_say(world)["wrong_python"]
    assert world.install() == 2
    assert "ours needs 3.11 or newer" in capsys.readouterr().err


def test_a_client_within_another_is_a_note_only_where_the_secrets_differ(world, changed):
    """As the distribution's own localhost is within our test's network."""
    assert "localhost within routers" in files_say(world)["client_within"]
    changed("clients.conf", ("\tipaddr = 127.0.0.0/8\n", "\tipaddr = 10.0.0.0/8\n"))
    assert "client_within" not in files_say(world)


def said_by(world: Existing, capsys: pytest.CaptureFixture[str], code: int) -> dict[str, dict[str, str]]:
    capsys.readouterr()
    assert world.run("doctor", "--raddb", str(world.raddb), "--json") == code
    document = json.loads(capsys.readouterr().out)
    assert document["site"] == "default"
    return {one["code"]: one for one in document["findings"]}


def test_what_the_machine_tells(world, changed, capsys, monkeypatch):
    """Ports, the running process, the replica, the spool, rights, the log; and nothing where all is well."""
    assert {"not_running", "own_server", "stale_replica"} <= said_by(world, capsys, 1).keys()
    monkeypatch.setenv("ISPAGENTS_FREERADIUS", "existing")
    world.server.start()
    with world.server.writer:
        world.server.writer.set_newest_time(time.time())
    assert {one["weight"] for one in said_by(world, capsys, 0).values()} == {"note"}

    assert OldRouter(world.server, CONTROL, b"another secret").pap("old", "old password", silent=True) is None
    assert CONTROL in said_by(world, capsys, 1)["wrong_secret"]["said"]
    (world.server.layout.log / "freeradius.log").write_text("")

    OldRouter(world.server, CONTROL).account(1, "anna", "session", Class=b"ai:" + b"0" * 32 + b":1:1-" + b"0" * 16)
    detail = world.state.spool / "accounting" / "detail"
    os.utime(detail, (time.time() - 600, time.time() - 600))
    assert "10 minutes" in said_by(world, capsys, 1)["undrained"]["said"]
    detail.unlink()

    (world.state.freeradius / "existing" / "python" / "policy" / "access.py").write_text("# another version\n")
    assert "old_code" in said_by(world, capsys, 1)
    assert world.install() == 0

    with another_secret(world):
        assert "10.7.7.7" in said_by(world, capsys, 1)["secret_differs"]["said"]
    with world.server.writer:
        world.server.writer.set_newest_time(time.time() - 7200)
    assert "2 hours" in said_by(world, capsys, 1)["stale_replica"]["said"]
    world.server.stop()


@contextmanager
def another_secret(world: Existing) -> Iterator[None]:
    """A router of ours whose secret in clients.conf is another one."""
    file = world.raddb / "clients.conf"
    text = file.read_text()
    world.server.add_router(router_row("10.7.7.7", 7, SECRET.decode()))
    file.write_text(text + "\nclient seven {\n\tipaddr = 10.7.7.7\n\tsecret = another-one\n}\n")
    yield
    file.write_text(text)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take rights away from the server's user")
def test_rights_that_the_server_lacks_are_named(world, capsys):
    """The replica's own folder, and the file that is being written."""
    world.state.replica.chmod(0o700)
    try:
        assert f"cannot enter {world.state.replica}" in said_by(world, capsys, 1)["unreachable"]["said"]
    finally:
        world.state.replica.chmod(0o2750)
    detail = world.state.spool / "logins" / "detail"
    detail.write_text("")
    detail.chmod(0o600)
    assert "cannot write" in said_by(world, capsys, 1)["detail_rights"]["said"]
    detail.unlink()
