"""The embedded PostgreSQL, for real: started, stopped, killed and found again."""

import os
import socket
import subprocess
import threading
from contextlib import suppress

import psycopg
import pytest

from ispagents import processes
from ispagents.errors import Problem
from ispagents.postgres import EmbeddedPostgres, binaries


def one_value(postgres, query, role="postgres"):
    with psycopg.connect(postgres.server().conninfo("postgres", role)) as connection:
        return connection.execute(query).fetchone()[0]


def backends(postgres):
    return [pid for pid in processes.all_pids() if processes.works_in(pid, postgres.data)]


@pytest.fixture
def postgres(state):
    with state.lock():
        yield EmbeddedPostgres(state)


def test_it_starts_answers_and_stops(postgres):
    """A started server answers on its socket in UTF-8 and UTC, and a stopped one leaves no process behind."""
    server = postgres.start()
    assert postgres.is_running()
    assert one_value(postgres, "SELECT current_setting('server_encoding')") == "UTF8"
    assert one_value(postgres, "SELECT current_setting('TimeZone')") == "UTC"
    assert one_value(postgres, "SELECT current_setting('data_checksums')") == "on"
    assert one_value(postgres, "SELECT lower('ŁÓDŹ')") == "łódź"
    assert processes.is_alive(server.pid)

    postgres.stop()

    assert not postgres.is_running()
    assert postgres.running_server() is None
    assert backends(postgres) == []


def test_start_is_idempotent_and_keeps_port_and_data(postgres):
    """A second start finds the first one's server; a stop and start keeps the port and the data."""
    first = postgres.start()
    assert postgres.start() == first
    assert EmbeddedPostgres(postgres.state).start() == first
    postgres.ensure_database("kept")
    postgres.ensure_database("kept")
    postgres.stop()

    again = EmbeddedPostgres(postgres.state).start()

    assert again.port == first.port
    assert again.pid != first.pid
    assert one_value(postgres, "SELECT count(*) FROM pg_database WHERE datname = 'kept'") == 1


def test_a_killed_postmaster_with_a_busy_backend_does_not_block_the_next_start(postgres, eventually):
    """After kill -9 a backend that is still computing is ended, and the server starts with its data."""
    server = postgres.start()
    with psycopg.connect(server.conninfo("postgres", "postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    busy = psycopg.connect(server.conninfo("postgres", "postgres"), autocommit=True)

    def compute():
        with suppress(psycopg.Error):
            busy.execute("DO $$ BEGIN LOOP END LOOP; END $$")

    thread = threading.Thread(target=compute)
    thread.start()
    eventually(
        lambda: one_value(postgres, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state='active'")
    )

    postgres.kill()

    assert not postgres.is_running()
    assert busy.info.backend_pid in backends(postgres)
    again = postgres.start()
    thread.join()
    busy.close()
    assert again.pid != server.pid
    assert not processes.is_alive(busy.info.backend_pid)
    assert one_value(postgres, "SELECT one FROM kept") == 1


def test_a_reused_pid_in_the_pid_file_fools_nobody(postgres):
    """A live stranger under the dead postmaster's pid is not taken for it, not signalled, and no hindrance."""
    server = postgres.start()
    postgres.kill()
    pid_file = postgres.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    user = processes.user_of(postgres.data.stat().st_uid)
    stranger = subprocess.Popen([*processes.as_user(user), "sleep", "600"])
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert not postgres.is_running()
        assert postgres.running_server() is None
        postgres.stop()
        assert stranger.poll() is None

        again = postgres.start()

        assert again.pid not in {server.pid, stranger.pid}
        assert one_value(postgres, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_roles_are_vouched_for_by_the_linux_user(state):
    """The invoking user becomes a given role over the socket and no other; a later start may add roles."""
    with state.lock():
        postgres = EmbeddedPostgres(state, roles=["web"])
        server = postgres.start()
        with psycopg.connect(server.conninfo("postgres", "postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE web LOGIN")
            connection.execute("CREATE ROLE other LOGIN")
        assert one_value(postgres, "SELECT current_user", role="web") == "web"
        with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
            one_value(postgres, "SELECT 1", role="other")
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(server.tcp_conninfo("postgres", "web"))

        wider = EmbeddedPostgres(state, roles=["web", "other"])
        assert wider.start() == server
        with suppress(psycopg.OperationalError):  # the reload is a signal; the next line waits for its effect
            one_value(wider, "SELECT 1", role="other")


def test_a_taken_port_is_said_in_one_sentence(state):
    """A configured port that another program holds is refused before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken, state.lock():
        port = taken.getsockname()[1]
        with pytest.raises(Problem, match=f"Port {port} of 127.0.0.1 is taken by another program"):
            EmbeddedPostgres(state, port=port).start()


def test_a_server_that_cannot_start_says_why_and_where_the_log_is(postgres):
    """A setting that PostgreSQL refuses ends in one sentence with its reason and the log's path."""
    postgres.start()
    postgres.stop()
    (postgres.state.postgresql / "local.conf").write_text("shared_buffers = nonsense\n")

    with pytest.raises(Problem) as told:
        postgres.start()

    assert str(postgres.log) in str(told.value)
    assert "configuration file" in str(told.value)


def test_a_cut_off_initdb_is_begun_again(postgres):
    """What an initdb left that was killed half-way is thrown away."""
    half = postgres.data.with_name("data.new")
    half.mkdir()
    (half / "rubbish").write_text("half a cluster")

    postgres.start()

    assert not half.exists()
    assert not (postgres.data / "rubbish").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_programs_that_the_server_user_cannot_reach_are_copied_once(state, monkeypatch, tmp_path):
    """With the programs in a folder closed to others, the server runs from a copy in the state folder."""
    found = binaries.find_binaries()
    user = processes.service_user()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    link = closed / "pginstall"
    link.symlink_to(found.tree)
    hidden = binaries.Binaries(link, found.version)
    assert not hidden.usable_by(user)

    # The copy is made from the real tree: a link would lead away from the libraries beside the package.
    monkeypatch.setattr(
        binaries.Binaries,
        "usable_by",
        lambda self, _: str(self.tree).startswith(str(state.path)) and self.tree.exists(),
    )
    copy = binaries.reachable_binaries(found, user, state)
    monkeypatch.undo()

    assert copy.tree.is_relative_to(state.path)
    assert copy.usable_by(user)
    with state.lock():
        postgres = EmbeddedPostgres(state)
        postgres._binaries = copy
        assert processes.is_alive(postgres.start().pid)


def test_the_server_does_not_run_as_root(postgres):
    """The postmaster belongs to an unprivileged user."""
    server = postgres.start()
    assert os.stat(f"/proc/{server.pid}").st_uid != 0  # noqa: PTH116 - /proc entry
