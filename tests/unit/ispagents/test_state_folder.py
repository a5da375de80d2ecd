"""Where state is kept, and what is said when it cannot be kept there."""

import errno
import os
import shutil
import stat
from pathlib import Path

import pytest

from ispagents import state_folder
from ispagents.errors import Problem, explain, explained
from ispagents.state_folder import SOCKET_PATH_LIMIT_BYTES, StateFolder, default_state_path


@pytest.fixture
def tmp_path(tmp_path_factory):
    """A folder with a short name: sockets of a deep state folder live elsewhere, and pytest's own is deep with -n."""
    return tmp_path_factory.mktemp("t")


@pytest.fixture
def as_ordinary_user(monkeypatch):
    """Choose as an ordinary user would, whoever runs the tests; ownership is not touched."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def test_the_variable_comes_first(monkeypatch):
    """$ISPAGENTS_STATE wins over every default."""
    monkeypatch.setenv("ISPAGENTS_STATE", "/somewhere/else")
    assert default_state_path() == Path("/somewhere/else")


def test_an_ordinary_user_keeps_state_at_home(monkeypatch, as_ordinary_user):
    """Without the variable the XDG folder is used, and a relative one is ignored as its specification says."""
    monkeypatch.delenv("ISPAGENTS_STATE", raising=False)
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.setenv("XDG_STATE_HOME", "/data/state")
    assert default_state_path() == Path("/data/state/ispagents")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_state_path() == Path("/home/anna/.local/state/ispagents")


def test_root_keeps_state_in_the_system(monkeypatch):
    """Root's state goes where the distribution keeps such things."""
    monkeypatch.delenv("ISPAGENTS_STATE", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_state_path() == Path("/var/lib/ispagents")


def test_a_file_in_the_way_is_a_sentence(tmp_path):
    """A path that is a file, or lies below one, is refused by name."""
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        with pytest.raises(Problem, match=r"is a file where a folder is needed, or lies below one: .*--state"):
            StateFolder(path).create()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The disk that holds /x is full: free some space there and start again."),
        (errno.EDQUOT, "The disk that holds /x is full: free some space there and start again."),
        (errno.EACCES, "/x may not be written by this user: choose another."),
        (errno.EROFS, "/x is on a read-only disk: choose another."),
        (errno.EIO, "/x cannot be used (input/output error): choose another."),
    ],
)
def test_what_the_system_refuses_is_one_sentence(number, sentence):
    """Each cause has its own words, and a full disk its own remedy."""
    assert explain(OSError(number, os.strerror(number)), Path("/x"), "choose another") == sentence
    with pytest.raises(Problem) as told, explained(Path("/x"), "choose another"):
        raise OSError(number, os.strerror(number))
    assert str(told.value) == sentence


def test_a_full_disk_is_found_at_once(monkeypatch, tmp_path, as_ordinary_user):
    """Creating the folder writes a block, so a full disk is not left for later."""
    monkeypatch.setattr(state_folder.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(Problem, match="is full: free some space"):
        StateFolder(tmp_path / "state").create()


def test_others_may_pass_but_not_look(tmp_path, as_ordinary_user):
    """A new folder is 0711, and secrets are closed altogether."""
    folder = StateFolder(tmp_path / "state").create()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o711
    assert stat.S_IMODE(folder.secrets.stat().st_mode) == 0o700


def test_a_folder_with_other_things_keeps_its_mode(tmp_path, as_ordinary_user):
    """Pointing --state at an existing folder does not open it to others."""
    (tmp_path / "letters").touch()
    tmp_path.chmod(0o700)
    StateFolder(tmp_path).create()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_sockets_of_a_deep_folder_live_in_a_short_one(monkeypatch, tmp_path, as_ordinary_user):
    """Where the kernel's limit is passed a short folder is made, remembered, and made anew when it is gone."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(state_folder, "_is_ours", Path.is_dir)
    deep = tmp_path / ("deep" * 30)
    folder = StateFolder(deep).create()
    first = folder.sockets
    try:
        assert len(os.fsencode(first / state_folder.LONGEST_SOCKET)) <= SOCKET_PATH_LIMIT_BYTES
        assert StateFolder(deep).create().sockets == first
    finally:
        shutil.rmtree(first)
    second = StateFolder(deep).create().sockets
    shutil.rmtree(second)
    assert second != first


def test_status_is_read_as_written(tmp_path, as_ordinary_user):
    """What is written comes back; before that there is none; a damaged file is a sentence."""
    folder = StateFolder(tmp_path / "state").create()
    assert folder.read_status() is None
    folder.write_status({"pid": 1})
    assert folder.read_status() == {"pid": 1}
    assert [path.name for path in folder.run.iterdir()] == ["status.json"]
    folder.status_file.write_text("{")
    with pytest.raises(Problem, match="cannot be read"):
        folder.read_status()
