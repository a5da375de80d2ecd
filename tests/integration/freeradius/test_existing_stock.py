"""The distribution's own raddb: joined, in use, and left as it was."""

import json
from pathlib import Path

import pytest
from fixtures_existing_freeradius import STOCK, Existing, OldRouter, checked, existing_freeradius
from fixtures_freeradius import ACCEPT, ACCOUNTING_RESPONSE, CONTROL, REJECT, Router, router_row, service_row

NAMES = ("anna", "no", "0123", "łódź ul. 5", "anna@home.example", 'quo"te\\')


@pytest.fixture
def world():
    with existing_freeradius() as one:
        yield one


def old_users_log_in(world: Existing) -> None:
    router = OldRouter(world.server, CONTROL)
    for way in (router.pap, router.chap, router.mschap):
        reply = way("old", "old password")
        assert reply.code == ACCEPT
        assert reply.all("Reply-Message") == ["as before"]
        assert way("old", "another password").code == REJECT
        assert way("nobody", "any password").code == REJECT


def test_ours_and_theirs_log_in_side_by_side_and_the_way_back_is_exact(world, capsys):
    """Whom we know gets the plan's attributes; whom we do not know sees no change; afterwards nothing is left."""
    world.server.start()
    old_users_log_in(world)
    before = world.snapshot()

    assert world.install() == 0, capsys.readouterr()
    shown = capsys.readouterr().out
    assert "+       ispagents_authorize {" in shown
    assert "old password" not in shown
    world.restart()
    old_users_log_in(world)
    world.server.add(*(service_row(name, number) for number, name in enumerate(NAMES, 10)))
    router = Router(world.server, CONTROL)
    for name in NAMES:
        for way in (router.pap, router.chap, router.mschap):
            reply = way(name, "right password")
            assert reply.code == ACCEPT
            assert reply.all("Mikrotik-Rate-Limit") == ["10M/50M"]
    for way in (router.pap, router.chap, router.mschap):
        assert way("anna", "wrong password").code == REJECT
    notes = [record.first("Tmp-String-0") for record in world.server.spooled("logins")]
    assert notes == ["operator=1 router=1 service=10 reason=wrong_password"] * 3

    assert world.run("uninstall", "--yes") == 0, capsys.readouterr()
    assert world.snapshot() == before
    assert world.run("uninstall", "--yes") == 0
    assert world.snapshot() == before
    world.restart()
    old_users_log_in(world)
    assert OldRouter(world.server, CONTROL).pap("anna", "right password").code == REJECT


@pytest.fixture
def joined(world, capsys):
    """A server that we have joined and that runs, with one service."""
    assert world.install() == 0, capsys.readouterr()
    capsys.readouterr()
    world.server.start()
    world.server.add(service_row("anna", 10))
    return world


def test_accounting_of_ours_reaches_the_spool_and_the_old_accounting_goes_on(joined):
    """Every record is where it was before; ours are in the spool too, with a note; theirs are not."""
    router = OldRouter(joined.server, CONTROL)
    ours = Router(joined.server, CONTROL).pap("anna", "right password").all("Class")[0]
    for name, session in (("anna", "ours-1"), ("old", "theirs-1")):
        assert router.account(1, name, session).code == ACCOUNTING_RESPONSE
    renamed = router.account(2, "anna-renamed", "ours-2", Class=bytes.fromhex(ours.removeprefix("0x")))
    assert renamed.code == ACCOUNTING_RESPONSE
    assert router.account(7, "", "on").code == ACCOUNTING_RESPONSE

    spooled = joined.server.spooled("accounting")
    assert [record.first("Acct-Session-Id") for record in spooled] == ["ours-1", "ours-2", "on"]
    assert "service=10" in spooled[0].first("Tmp-String-0")
    detail = joined.detail()
    assert [session in detail for session in ("ours-1", "ours-2", "theirs-1", '"on"')] == [True] * 4
    assert "Tmp-String" not in detail


def test_without_a_replica_the_old_users_log_in_and_a_refusal_is_silence(capsys):
    """Nobody can tell whose a name is then, so no customer of ours is refused."""

    def one_thread(world: Existing) -> None:  # so that an answer to others proves silence
        world.change(
            "radiusd.conf",
            ("\tstart_servers = 5\n", "\tstart_servers = 1\n"),
            ("\tmax_servers = 32\n", "\tmax_servers = 1\n"),
            ("\tmin_spare_servers = 3\n", "\tmin_spare_servers = 1\n"),
            ("\tmax_spare_servers = 10\n", "\tmax_spare_servers = 1\n"),
        )

    with existing_freeradius(one_thread) as world:
        assert world.install() == 0, capsys.readouterr()
        world.server.start()
        world.server.add(service_row("anna", 10))
        router = OldRouter(world.server, CONTROL)
        with world.server.without_replica():
            assert router.pap("old", "old password").code == ACCEPT
            assert router.pap("anna", "right password", silent=True) is None
            assert router.account(1, "anna", "unsure-1").code == ACCOUNTING_RESPONSE
        assert [record.first("Acct-Session-Id") for record in world.server.spooled("accounting")] == ["unsure-1"]


def test_refusals_with_a_way_out_bindings_and_devices_work_as_in_our_own_server(joined):
    """A wrong password may be restricted, a device is learnt, a device without a password is let in by its address."""
    server, mac = joined.server, "AA:BB:CC:00:00:01"
    server.writer.put_operator(
        1, '{"wrong_password": {"address_list": "wrong"}, "unknown_user": {"address_list": "no"}}'
    )
    server.add(service_row("bound", 11, bind_mac=True), service_row(mac, 12, method="hotspot", password=None))
    router = Router(server, CONTROL)
    for way in (router.pap, router.chap):
        reply = way("anna", "wrong password")
        assert (reply.code, reply.all("Mikrotik-Address-List")) == (ACCEPT, ["wrong"])
        assert reply.all("Mikrotik-Rate-Limit") == ["256k/256k"]
    assert router.mschap("anna", "wrong password").code == REJECT
    assert router.pap("bound", "right password", Calling_Station_Id=mac).code == ACCEPT
    assert router.pap(mac, "", Service_Type=1, Calling_Station_Id=mac).code == ACCEPT
    assert OldRouter(server, CONTROL).pap("nobody", "any password").code == REJECT
    notes = [record.first("Tmp-String-0") for record in server.spooled("logins")]
    assert [note.split()[2:] for note in notes[-1:]] == [["service=11", "reason=plan", "learn=mac"]]


def test_names_that_are_no_text_are_left_to_the_old_modules(joined):
    """Nobody of ours is called that, and the server goes on."""
    router = OldRouter(joined.server, CONTROL)
    assert router.pap(b"caf\xe9", "any password").code == REJECT
    assert router.account(1, b"caf\xe9", "odd").code == ACCOUNTING_RESPONSE
    assert router.pap("old", "old password").code == ACCEPT


def test_what_somebody_edited_since_is_kept(joined, capsys):
    """Our lines go, theirs stay, even where they indented ours anew; the merge is shown first."""
    before = (STOCK / "sites-available" / "default").read_text()
    joined.change(
        "sites-available/default",
        ("\tfilter_username\n", "\tfilter_username\n\t# a note of the night shift\n"),
        ("\t\tispagents_refused\n", "        ispagents_refused\n"),
    )
    assert joined.run("uninstall") == 0
    shown = capsys.readouterr().out
    assert "was edited since: our lines go, the edits stay" in shown
    assert "-       ispagents_authorize {" in shown
    assert "say --yes" in shown

    assert joined.run("uninstall", "--yes") == 0
    text = joined.site.read_text()
    assert "ispagents" not in text
    assert text.count("# a note of the night shift\n") == 1
    assert len(text.splitlines()) == len(before.splitlines()) + 1
    checked(joined)


def test_what_nobody_can_tell_apart_is_left_to_a_person(joined, capsys):
    """Nothing at all changes, and the sentence names the file and what to take out."""
    joined.change("sites-available/default", ("\tispagents_accounting\n", "\tif (1) { ispagents_accounting }\n"))
    before = joined.snapshot()
    assert joined.run("uninstall", "--yes") == 2
    said = capsys.readouterr().err
    assert str(joined.site) in said
    assert "ispagents_accounting in line " in said
    assert joined.snapshot() == before
    joined.change("sites-available/default", ("\tif (1) { ispagents_accounting }\n", "\tispagents_accounting\n"))
    assert joined.run("uninstall", "--yes") == 0


def test_joining_again_brings_our_own_code_up_to_date_and_changes_nothing_else(joined, capsys):
    """Also after somebody took one of our calls out: it is put back, and the way back stays exact."""
    before = joined.snapshot()
    assert joined.install() == 0
    assert "has joined" in capsys.readouterr().out
    assert joined.snapshot() == before
    joined.change(
        "sites-available/default",
        ("\tispagents_accounting\n", ""),
        ("\tattr_filter.accounting_response\n", "\t# no filter\n"),
    )
    assert joined.install() == 0, capsys.readouterr()
    checked(joined)
    assert joined.run("uninstall", "--yes") == 0, capsys.readouterr()
    stock = (STOCK / "sites-available" / "default").read_text()
    assert joined.site.read_text().count("\t# no filter\n") == 1
    assert len(joined.site.read_text().splitlines()) == len(stock.splitlines())
    assert "ispagents" not in joined.site.read_text()


def test_without_consent_nothing_changes(world, capsys):
    """The edits are shown, and where they would be; --json without --yes is a preview too."""
    before = world.snapshot()
    assert world.run("install", "--raddb", str(world.raddb)) == 0
    assert "Nothing was changed; say --yes to do it." in capsys.readouterr().out
    assert world.run("install", "--raddb", str(world.raddb), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [Path(one["path"]).name for one in document["edits"]] == ["ispagents", "ispagents", "default"]
    assert not document["applied"]
    assert world.run("show", "--raddb", str(world.raddb), "--json") == 0
    assert json.loads(capsys.readouterr().out)["joined"] is False
    assert world.snapshot() == before


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("mods-enabled/other", "python3 other {\n\tmodule = example\n}\n", "already has a Python module (other,"),
        ("mods-enabled/ispagents", "# a file of theirs\n", "is there already and is not ours"),
        ("policy.d/broken", "broken {\n\tno_such_module\n}\n", None),
        ("mods-enabled/broken", "no_such_module {\n}\n", "does not accept its own configuration as it is"),
    ],
)
def test_a_server_that_cannot_take_us_in_is_refused_in_one_sentence(world, capsys, file, text, said):
    """Nothing of it is touched. What the server itself bears, we bear."""
    (world.raddb / file).write_text(text)
    world.own_by_server(world.raddb)
    before = world.snapshot()
    code = world.install()
    if said is None:
        assert code == 0, capsys.readouterr()
        return
    assert code == 2
    assert said in capsys.readouterr().err
    assert world.snapshot() == before


def test_a_server_without_a_section_gets_it(capsys):
    """Here without post-auth and without accounting, and with a brace on the line of our place."""

    def cut(world: Existing) -> None:
        site = world.site.read_text()
        begin, end = site.index("\naccounting {"), site.index("\nsession {")
        site = site[:begin] + site[end:]
        begin, end = site.index("\npost-auth {"), site.index("\npre-proxy {")
        site = site[:begin] + site[end:]
        world.site.write_text(site.replace("\nauthenticate {\n", "\nauthenticate {\tdigest\n"))

    with existing_freeradius(cut) as world:
        before = world.snapshot()
        assert world.install() == 0, capsys.readouterr()
        world.server.start()
        world.server.add(service_row("anna", 10))
        router = Router(world.server, CONTROL)
        assert router.pap("anna", "right password").code == ACCEPT
        assert router.pap("anna", "wrong password").code == REJECT
        assert router.account(1, "anna", "session").code == ACCOUNTING_RESPONSE
        assert len(world.server.spooled("accounting")) == len(world.server.spooled("logins")) == 1
        assert world.run("uninstall", "--yes") == 0, capsys.readouterr()
        assert world.snapshot() == before


def test_the_server_is_restarted_by_the_command_that_was_given(world, tmp_path, capsys):
    """And a command that fails is said, while what was joined stays joined."""
    mark = tmp_path / "restarted"
    assert world.install("--restart-command", f"touch {mark}") == 0, capsys.readouterr()
    assert mark.exists()
    assert world.run("uninstall", "--yes", "--restart-command", "false") == 2
    assert "`false` failed" in capsys.readouterr().err
    assert world.run("uninstall", "--yes") == 0


def test_routers_of_ours_are_clients_by_themselves_only_where_that_was_asked(capsys):
    """A router that is in no file of the server's may ask as soon as ISPAgents knows it; its own clients stay."""

    def narrow(world: Existing) -> None:
        world.change("clients.conf", ("\tipaddr = 127.0.0.0/8\n", f"\tipaddr = {CONTROL}\n"))

    with existing_freeradius(narrow) as world:
        before = world.snapshot()
        assert world.install("--dynamic-clients") == 0, capsys.readouterr()
        world.server.start()
        world.server.add(service_row("anna", 10))
        stranger, known = Router(world.server, "127.5.5.5", b"a secret of its own"), Router(world.server, "127.5.5.6")
        world.server.add_router(router_row("127.5.5.6", 6))
        assert known.pap("anna", "right password").code == ACCEPT
        assert stranger.pap("anna", "right password", silent=True) is None
        world.server.add_router(router_row("127.5.5.5", 5, "a secret of its own"))
        assert stranger.pap("anna", "right password").code == ACCEPT
        assert OldRouter(world.server, CONTROL).pap("old", "old password").code == ACCEPT
        assert world.run("uninstall", "--yes") == 0, capsys.readouterr()
        assert world.snapshot() == before


def test_what_the_server_would_refuse_is_found_on_a_copy(world, capsys):
    """Here a module of theirs has a name of ours: nothing is touched, and the server's own words are given."""
    (world.raddb / "mods-enabled" / "theirs").write_text("always ispagents_ok {\n\trcode = ok\n}\n")
    world.own_by_server(world.raddb)
    before = world.snapshot()
    assert world.install() == 2
    said = capsys.readouterr().err
    assert "would not accept these edits, so nothing was changed" in said
    assert "ispagents_ok" in said
    assert "/trial-" not in said
    assert world.snapshot() == before
    assert world.run("uninstall", "--yes") == 0
    assert "has joined no FreeRADIUS" in capsys.readouterr().out


NONSENSE = (
    (("show", "--raddb", "/nowhere/at/all"), "is no FreeRADIUS configuration"),
    (("show", "--raddb", "/etc/passwd"), "is no FreeRADIUS configuration"),
    (("install", "--raddb", "RADDB", "--site", "no such"), "there are: default, inner-tunnel"),
    (("install", "--raddb", "RADDB", "--site", ""), "There is no virtual server ''"),
    (("install", "--raddb", "RADDB", "--yes", "--restart-command", '"'), "cannot be read"),
    (("doctor", "--raddb", "RADDB", "--site", "x" * 253), "There is no virtual server"),
    (("uninstall", "--yes", "--restart-command", "'"), "cannot be read"),
)


def test_nonsense_is_one_sentence(world, capsys):
    """And nothing is touched."""
    before = world.snapshot()
    for words, said in NONSENSE:
        assert world.run(*(str(world.raddb) if word == "RADDB" else word for word in words)) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert world.snapshot() == before


def test_a_configuration_that_cannot_be_read_is_said_with_its_line(world, capsys):
    """Of the main file it is the end; of another it is a note of the doctor's."""
    (world.raddb / "policy.d" / "half").write_text("half {\n\tif (a == b {\n}\n")
    assert world.run("show", "--raddb", str(world.raddb), "--json") == 0
    assert "half, line 2: a condition is not closed" in json.loads(capsys.readouterr().out)["unread"][0]
    with (world.raddb / "radiusd.conf").open("a") as main:
        main.write("modules {\n")
    assert world.run("show", "--raddb", str(world.raddb)) == 2
    assert "the file ends within a section" in capsys.readouterr().err
