"""Settings of a router that cannot work are refused with what to do."""

import pytest

from network.contract import Secret
from network.routeros.errors import InvalidTargetError
from network.routeros.target import Limits, RouterTarget, Security

FINGERPRINT = "0a" * 32


def target(**changed):
    given = {"address": "192.0.2.1", "port": 8729, "username": "api", "password": Secret("hush-hush")}
    return RouterTarget(**(given | changed))


def test_defaults_are_safe():
    """Unless told otherwise the certificate is verified, and the old login is not answered."""
    assert target().security is Security.VERIFIED
    assert target().old_login is False


def test_password_is_not_shown():
    """A target can be printed."""
    assert "hush" not in repr(target())


def test_fingerprints_as_people_paste_them():
    """Colons, blanks and capitals do not matter."""
    pasted = ":".join(["0A"] * 32)
    assert target(security=Security.PINNED, fingerprint=f" {pasted} ").fingerprint == FINGERPRINT


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"address": "router.example.net"}, "literal"),
        ({"port": 0}, "/ip service"),
        ({"username": ""}, "user name"),
        ({"username": "x" * 1025}, "user name"),
        ({"window": 0}, "window"),
        ({"security": Security.PINNED}, "64 hex"),
        ({"security": Security.PINNED, "fingerprint": "0a"}, "64 hex"),
        ({"fingerprint": FINGERPRINT}, "use pinned"),
        ({"security": Security.PLAIN, "fingerprint": FINGERPRINT}, "use pinned"),
        ({"security": Security.PLAIN, "server_name": "tower"}, "use verified"),
        ({"security": "none"}, "use verified, pinned or plain"),
    ],
)
def test_nonsense(changed, said):
    """Each is one sentence that names the setting."""
    with pytest.raises(InvalidTargetError, match=said):
        target(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"connect_timeout_s": 0},
        {"command_timeout_s": float("inf")},
        {"command_timeout_s": float("nan")},
        {"max_rows": 0},
        {"max_reply_bytes": 1},
    ],
)
def test_limits(changed):
    """No limit can be switched off."""
    with pytest.raises(InvalidTargetError):
        Limits(**changed)
