"""What a person is told when something cannot be done: one sentence, no traceback."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROBLEM_EXIT_CODE = 2  # what the command line exits with after printing a Problem

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})  # a full disk and a spent quota ask for the same remedy


class Problem(Exception):  # noqa: N818 - the word a person reads; it is not always a program's error
    """A person's error: its text is one sentence that says what happened and what to do next.

    The command line prints it to standard error as it stands and exits with `PROBLEM_EXIT_CODE`.
    Raise it only where a person can do something about it; everything else keeps its traceback.
    """


@contextmanager
def explained(path: Path, remedy: str) -> Iterator[None]:
    """Turn an OSError about `path` into a Problem that names the path and ends in `remedy`."""
    try:
        yield
    except OSError as error:
        raise Problem(explain(error, path, remedy)) from error


def explain(error: OSError, path: Path, remedy: str) -> str:
    """Say in one sentence what the system refused; a full disk gets its own remedy."""
    where = error.filename if isinstance(error.filename, str) else str(path)
    if error.errno in FULL_DISK:
        return f"The disk that holds {where} is full: free some space there and start again."
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{where} may not be written by this user: {remedy}."
    if error.errno == errno.EROFS:
        return f"{where} is on a read-only disk: {remedy}."
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        return f"{where} is a file where a folder is needed, or lies below one: {remedy}."
    reason = (error.strerror or type(error).__name__).lower()
    return f"{where} cannot be used ({reason}): {remedy}."
