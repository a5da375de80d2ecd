"""Finding FreeRADIUS and preparing its folder."""

from dataclasses import replace

import pytest
from fixtures_freeradius import layout_in, temporary_folder

from ispagents import freeradius
from ispagents.errors import Problem


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a script in front of the real server that only says its version."""

    def put(version, name="freeradius"):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\necho "radiusd: FreeRADIUS Version {version}, for host x86_64-pc-linux-gnu"\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


@pytest.mark.parametrize("version", ["3.2.9", "3.2.10"])
def test_a_version_that_loses_attributes_is_refused(install, version):
    """The reason is said, and what to install instead."""
    install(version)
    with pytest.raises(Problem, match=rf"FreeRADIUS {version} loses every attribute .* install 3\.2\.8 or 3\.2\.11"):
        freeradius.find()


@pytest.mark.parametrize("version", ["3.0.26", "3.2.0", "2.2.9"])
def test_a_version_that_is_too_old_is_refused(install, version):
    """The oldest that works is named."""
    install(version)
    with pytest.raises(Problem, match=rf"FreeRADIUS {version} is too old; install 3\.2\.1 or later"):
        freeradius.find()


@pytest.mark.parametrize("version", ["3.2.1", "3.2.8", "3.2.11"])
def test_other_versions_are_taken(install, version):
    """Under either of the two names that distributions give it."""
    install(version, "radiusd" if version == "3.2.11" else "freeradius")
    if version != "3.2.11":
        assert freeradius.find().version == tuple(int(part) for part in version.split("."))


def test_a_server_that_does_not_say_its_version_is_refused(install):
    """It may be anything."""
    install("unknown")
    with pytest.raises(Problem, match="does not say its version"):
        freeradius.find()


@pytest.mark.parametrize("name", ["with blank", "dollar${x}", 'quo"te', "hash#", "back\\slash", "x" * 200])
def test_a_folder_that_freeradius_cannot_name_is_refused(tmp_path, name):
    """Its configuration has no way to write such a path, so that is said before anything is made."""
    layout = layout_in(tmp_path / name)
    with pytest.raises(Problem, match="choose a shorter one"):
        freeradius.prepare(freeradius.find(), layout)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_configuration_is_explained():
    """The server's own first complaint reaches the operator."""
    with temporary_folder() as folder:
        server, layout = freeradius.find(), layout_in(folder)
        freeradius.prepare(server, layout)
        freeradius.check(server, layout)
        (layout.raddb / "mods-available" / "broken").write_text("nosuchmodule {\n}\n")
        with pytest.raises(Problem, match=r"does not accept its configuration .*nosuchmodule"):
            freeradius.check(server, layout)
        freeradius.prepare(server, replace(layout, threads=2))
        freeradius.check(server, layout)


def test_nothing_that_is_secret_is_open_to_others():
    """The replica and the spool have no bits for others; a second start keeps it so."""
    with temporary_folder() as folder:
        server, layout = freeradius.find(), layout_in(folder)
        for _ in range(2):
            freeradius.prepare(server, layout)
            folders = [layout.spool, layout.spool / "accounting", layout.spool / "logins", layout.replica, layout.raddb]
            assert [path for path in folders if server.user and path.stat().st_mode & 0o007] == []
