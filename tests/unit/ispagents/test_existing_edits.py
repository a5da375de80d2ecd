"""Edits of somebody else's files: whatever they wrote before or since, it is there in the end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ispagents.errors import Problem
from ispagents.existing_freeradius.edits import (
    MANIFEST,
    Backup,
    FileEdit,
    Way,
    apply,
    difference,
    give_back,
    inserted,
    take_back,
    without,
)

THEIRS = st.lists(st.sampled_from(("pap", "\tfiles", "# a note", "}", "server x {", "\xff\x85 odd", "")), max_size=12)
PIECES = ("\tispagents_authorize {\n\t\tok = return\n\t}\n", "\tispagents_accounting\n", "\t\tispagents_refused\n")


@given(THEIRS, st.permutations(PIECES), st.lists(st.integers(0, 12), min_size=3, max_size=3), THEIRS)
def test_whatever_others_add_stays_when_our_pieces_go(lines, pieces, places, later):
    """Taken out of a file that was edited since, what remains is the file with their edits, byte by byte."""
    parts = [line + "\n" for line in lines]
    with_ours = list(parts)
    for at, piece in sorted(zip(places, pieces, strict=True), reverse=True):
        with_ours.insert(min(at, len(parts)), piece)
    added = "".join(line + "\n" for line in later)
    edited = "".join(with_ours) + added
    assert without(edited.encode("latin-1"), pieces) == ("".join(parts) + added).encode("latin-1")


def test_a_piece_that_is_there_twice_is_left_to_a_person():
    """One of the two is not ours."""
    assert without(b"\tispagents_accounting\n\tispagents_accounting\n", PIECES) is None


@pytest.fixture
def backup(tmp_path):
    return Backup(tmp_path / "backup")


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site"
    path.write_bytes(b"accounting {\n\tdetail \xff\n}\n")
    path.chmod(0o640)
    return path


def joined(backup, site):
    edit = inserted(site, [(13, PIECES[1])])
    own = FileEdit(site.with_name("own"), None, b"ours\n")
    backup.remember(site.parent, "default", [edit, own])
    apply([edit, own])
    return edit, own


def test_the_very_bytes_come_back_with_rights_and_time(backup, site):
    """And a file of ours goes away."""
    before, status = site.read_bytes(), site.stat()
    joined(backup, site)
    assert site.read_bytes() != before
    assert site.stat().st_mode == status.st_mode
    returns = backup.returns(backup.manifest())
    assert [one.way for one in returns] == [Way.RESTORED, Way.REMOVED]
    give_back(returns, backup)
    assert site.read_bytes() == before
    assert (site.stat().st_mode, site.stat().st_mtime_ns) == (status.st_mode, status.st_mtime_ns)
    assert not site.with_name("own").exists()
    assert [one.way for one in backup.returns(backup.manifest())] == [Way.ALREADY, Way.ALREADY]


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_kill_anywhere_leaves_a_way_back(backup, site, written):
    """The manifest and the copies are there before the first file is touched."""
    before = site.read_bytes()
    edit = inserted(site, [(13, PIECES[1])])
    own = FileEdit(site.with_name("own"), None, b"ours\n")
    backup.remember(site.parent, "default", [edit, own])
    apply([edit, own][:written])
    give_back(backup.returns(backup.manifest()), backup)
    assert site.read_bytes() == before
    assert not site.with_name("own").exists()


def test_a_file_of_ours_that_somebody_edited_is_kept_aside(backup, site):
    """Their work is in the backup folder."""
    _, own = joined(backup, site)
    own.path.write_bytes(b"ours, and an idea of theirs\n")
    give_back(backup.returns(backup.manifest()), backup)
    assert (backup.folder / "edited-own").read_bytes() == b"ours, and an idea of theirs\n"
    assert not own.path.exists()


def test_a_file_that_changes_at_the_same_moment_is_not_overwritten(backup, site):
    """Neither by an edit nor by taking one back."""
    edit = inserted(site, [(13, PIECES[1])])
    site.write_bytes(b"somebody else's\n")
    with pytest.raises(Problem, match="changed by somebody else at this moment"):
        apply([edit])
    take_back([edit])
    assert site.read_bytes() == b"somebody else's\n"


def test_a_copy_that_was_altered_is_never_given_back(backup, site):
    """It is not what was there."""
    joined(backup, site)
    copy = backup.folder / json.loads((backup.folder / MANIFEST).read_text())["files"][0]["copy"]
    copy.write_bytes(b"altered\n")
    assert [one.way for one in backup.returns(backup.manifest())] == [Way.CONFLICT, Way.REMOVED]


def test_the_backup_is_for_us_alone_and_a_damaged_manifest_is_a_sentence(backup, site):
    """The copies may hold secrets of the server's."""
    joined(backup, site)
    assert backup.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in backup.folder.iterdir()} == {0o600}
    (backup.folder / MANIFEST).write_text("{")
    with pytest.raises(Problem, match="cannot be read"):
        backup.manifest()


def test_a_difference_is_unified_and_names_what_is_new(tmp_path):
    """As every other tool shows one, without the secrets of lines around."""
    assert difference(tmp_path / "f", None, b"a\n") == f"--- /dev/null\n+++ {tmp_path}/f\n@@ -0,0 +1 @@\n+a\n"
    assert difference(tmp_path / "f", b"a\n", b"a\n") == ""
    shown = difference(tmp_path / "f", b"secret = hidden\n", b"secret = hidden\nours\n")
    assert "hidden" not in shown
    assert "+ours\n" in shown
