"""What routers say when they do not obey, told apart by the words alone."""

import pytest

from network.routeros import errors
from network.routeros.traps import MAX_SAID, Trap, classify

# Texts of routers of versions 6 and 7, as public code and its tests quote them (mikrotik-facts.md, 4.1).
TEXTS = [
    ("failure: already have such entry", errors.AlreadyExistsError),
    ("failure: already have such address", errors.AlreadyExistsError),
    ("failure: already have user with such name", errors.AlreadyExistsError),
    ("failure: already have device with such name", errors.AlreadyExistsError),
    ("failure: item with such name already exists", errors.AlreadyExistsError),
    ("failure: secret with the same name already exists", errors.AlreadyExistsError),
    ("no such item", errors.NoSuchItemError),
    ("no such item (4)", errors.NoSuchItemError),
    ("no such command", errors.NoSuchMenuError),
    ("no such command prefix", errors.NoSuchMenuError),
    ("no such command or directory (secret)", errors.NoSuchMenuError),
    ("not enough permissions (9)", errors.NotPermittedError),
    ("invalid user name or password (6)", errors.WrongPasswordError),
    ("cannot log in", errors.WrongPasswordError),
    ("input does not match any value of profile", errors.InvalidValueError),
    ("unknown parameter", errors.InvalidValueError),
    ("invalid value for argument address", errors.InvalidValueError),
    ("value of port out of range (1..65535)", errors.InvalidValueError),
    ("missing =name=", errors.InvalidValueError),
    ("failure: contents too long", errors.FullError),
    ("failure: can not add more entries", errors.FullError),
    ("failure: can not change dynamic object", errors.RefusedError),
    ("invalid time value for argument timeout", errors.InvalidValueError),
    ("failure: out of memory", errors.FullError),
    ("interrupted", errors.BusyError),
    ("failure: timeout", errors.BusyError),
    ("failure: something nobody has met", errors.RefusedError),
    ("", errors.RefusedError),
]


@pytest.mark.parametrize("category", ["", "0", "4"])
@pytest.mark.parametrize(("text", "kind"), TEXTS)
def test_texts(text, kind, category):
    """The kind follows from the text, with and without a category, and the router's own words are kept."""
    error = classify([Trap(text, category)])
    assert type(error) is kind
    assert (text or "no reason given") in str(error)
    assert error.category == category
    assert error.may_retry == (kind is errors.BusyError)


def test_several_traps():
    """Of several traps the first whose text is known counts, and all of the texts are told."""
    error = classify([Trap("failure: something", ""), Trap("no such item", "")])
    assert isinstance(error, errors.NoSuchItemError)
    assert error.said == "failure: something; no such item"


def test_interrupted_by_category():
    """Category 2 says that it was interrupted, whatever the words."""
    assert isinstance(classify([Trap("stopped", "2")]), errors.BusyError)


def test_endless_and_unprintable_words():
    """A router's words are bounded, and break no line of a log."""
    error = classify([Trap("failure:\r\n\x1b[31m" + "x" * 10_000, "")])
    assert len(error.said) == MAX_SAID
    assert error.said.isprintable()
