"""Files that commands write: whole, or as they were before."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ispagents.cli.files import table_bytes, write_bytes, write_rows
from ispagents.errors import Problem


def _breaking() -> Iterator[list[str]]:
    yield ["a", "b"]
    raise RuntimeError("the database went away")


def test_a_file_is_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    """What breaks off leaves the earlier file and nothing beside it; a link stays a link."""
    file, link = tmp_path / "rows.csv", tmp_path / "link.csv"
    link.symlink_to(file)
    assert write_rows(link, [["a", 'b"'], ["ł", "\n"]]) == 2
    before = file.read_bytes()
    assert before.decode() == 'a,"b"""\r\nł,"\n"\r\n'
    with pytest.raises(RuntimeError, match="went away"):
        write_rows(link, _breaking())
    assert (file.read_bytes(), link.is_symlink()) == (before, True)
    assert sorted(tmp_path.iterdir()) == [link, file]


@pytest.mark.parametrize(
    ("name", "why"), [("/dev/full", "No space left"), ("/", "directory"), ("/dev/null/x", "Not a")]
)
def test_what_cannot_be_written_is_one_sentence(name: str, why: str) -> None:
    """A full disk, a folder, no folder at all."""
    with pytest.raises(Problem, match=why):
        write_bytes(Path(name), b"x" * 100_000)
    with pytest.raises(Problem, match=r"cannot be written: .*, so nothing was stored"):
        write_rows(Path(name), [["x" * 100_000]], otherwise=", so nothing was stored")


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    """And is still a pipe afterwards."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_bytes(pipe, b"all of it")
        assert os.read(reader, 100) == b"all of it"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    """Not there, a folder, or no name that a file can have."""
    for name in (tmp_path / "nothing", tmp_path, Path("a\0b")):
        with pytest.raises(Problem, match="cannot be read"):
            table_bytes(name)
