"""The keys of the session cookies, and what a password must be."""

from pathlib import Path

import pytest

from ispagents.errors import Problem
from ispagents.wiring.web import session_keys
from sql.errors import Refused
from web.roles import PUBLIC, RULES, SEES_MONEY, is_public, may_use, sees_money
from web.sign_in.passwords import checked_password


def test_a_key_is_made_once_and_kept_to_ourselves(tmp_path: Path) -> None:
    """The file is 0600, and the second start reads the same key."""
    path = tmp_path / "web.key"
    keys = session_keys(path)
    assert len(bytes.fromhex(keys[0])) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert session_keys(path) == keys


def test_several_keys_are_read_newest_first(tmp_path: Path) -> None:
    """A rotation puts a line before the old one."""
    path = tmp_path / "web.key"
    path.write_text("aa" * 32 + "\n" + "bb" * 32 + "\n")
    assert session_keys(path) == ["aa" * 32, "bb" * 32]


@pytest.mark.parametrize("text", ["", "\n", "aa", "zz" * 32, "łódź", "aa" * 32 + "\nbb\n"])
def test_a_damaged_key_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    """It says what to do, and shows nothing of a key."""
    path = tmp_path / "web.key"
    path.write_text(text)
    with pytest.raises(Problem, match="everybody signs in anew") as problem:
        session_keys(path)
    assert "aaaa" not in str(problem.value)


def test_a_key_file_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    """Its folder is missing."""
    with pytest.raises(Problem, match="cannot be made"):
        session_keys(tmp_path / "nowhere" / "web.key")


@pytest.mark.parametrize("password", ["", "short", "x" * 129, "aaaaaaaaaaaaaa", "anna anna anna", "ANNAannaANNAanna"])
def test_a_weak_password_is_refused(password: str) -> None:
    """Too short, too long, too much of the same, or the login name in it."""
    with pytest.raises(Refused):
        checked_password(password, "anna")


def test_a_good_password_is_taken_as_it_is() -> None:
    """Blanks and letters of any script are welcome."""
    assert checked_password("zażółć gęślą jaźń", "anna") == "zażółć gęślą jaźń"


def test_what_is_in_no_rule_is_closed() -> None:
    """An unknown route is neither public nor anybody's."""
    assert not is_public("new.page")
    assert not any(may_use([role], "new.page") for rule in RULES.values() if rule is not PUBLIC for role in rule)


def test_money_follows_the_roles() -> None:
    """Several roles see what one of them does."""
    assert not sees_money(["approver"])
    assert not sees_money([])
    assert sees_money(["approver", "finance"])
    assert len(SEES_MONEY) == 5
