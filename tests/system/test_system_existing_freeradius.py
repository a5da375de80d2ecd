"""`up` beside a FreeRADIUS that was here before: edge feeds its replica and drains its spool; none of ours runs."""

from fixtures_existing_freeradius import existing_freeradius
from fixtures_freeradius import ACCEPT, ACCOUNTING_RESPONSE, CONTROL, SECRET, Router
from machine import eventually
from sqlalchemy import text

from ispagents import cli
from ispagents.installation import running
from ispagents.settings import load
from sql.roles import Role

COMMANDS = (
    ("operator", "add", "ISP", "--currency", "EUR"),
    ("plan", "add", "Home 50", "--rate", "10M/50M", "--price", "25.00"),
    ("router", "add", "tower", "--address", CONTROL, "--secret-file", "SECRET"),
    ("subscriber", "add", "C1", "Anna"),
    (
        "service",
        "add",
        "anna",
        "--subscriber",
        "C1",
        "--plan",
        "Home 50",
        "--method",
        "pppoe",
        "--password-file",
        "PASS",
    ),
)


def test_a_new_customer_logs_in_through_the_old_server_and_the_session_is_known(tmp_path, monkeypatch, capsys):
    """From the command to the login, and from the accounting to the database; the doctor finds nothing wrong."""
    monkeypatch.setenv("ISPAGENTS_FREERADIUS", "existing")
    files = {"SECRET": tmp_path / "secret", "PASS": tmp_path / "password"}
    files["SECRET"].write_bytes(SECRET)
    files["PASS"].write_text("right password")
    with existing_freeradius() as world:
        assert world.install() == 0, capsys.readouterr()
        world.server.writer.close()  # edge writes it from here on
        with running(world.state, load(world.state.path, web_port=0), lambda _: None) as found:
            assert set(world.state.read_status()["children"]) == {"postgresql", "edge", "worker", "web"}
            world.server.start()
            for words in COMMANDS:
                arguments = [str(files.get(word, word)) for word in words]
                assert cli.run(["--state", str(world.state.path), *arguments]) == 0, capsys.readouterr()
            router = Router(world.server, CONTROL)

            def logged_in():
                try:
                    reply = router.pap("anna", "right password")
                except AssertionError:  # refused by the old modules, unsigned, until edge has brought her
                    return None
                return reply if reply is not None and reply.code == ACCEPT else None

            assert eventually(logged_in).all("Mikrotik-Rate-Limit") == ["10M/50M"]
            assert router.account(1, "anna", "session-1").code == ACCOUNTING_RESPONSE
            engine = found.databases.engine(Role.EDGE, pool=1)

            def taken_in():
                with engine.connect() as connection:
                    sessions = connection.execute(text("SELECT acct_session_id, service_id FROM sessions"))
                    return [tuple(row) for row in sessions]

            ((session, service_id),) = eventually(taken_in)
            engine.dispose()
            assert session == "session-1"
            assert service_id is not None
            assert world.run("doctor", "--raddb", str(world.raddb)) == 0, capsys.readouterr()
