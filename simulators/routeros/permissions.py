"""Who may log in, from where, and with which policies: `/user`, `/user/group` and the addresses of services."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress

from simulators.routeros.store import Store


def allowed_from(addresses: str, source: str) -> bool:
    """Tell whether a list of networks lets an address in; an empty one lets everybody in."""
    if not addresses:
        return True
    host = ipaddress.ip_address(source)
    return any(host in ipaddress.ip_network(network) for network in addresses.split(","))


def challenge_answer(password: str, challenge: bytes) -> str:
    """Return what clients before 6.43 answer: 00, then the MD5 of a zero byte, the password and the challenge."""
    return "00" + hashlib.md5(b"\x00" + password.encode("utf-8", "surrogateescape") + challenge).hexdigest()


def log_in(
    store: Store, name: str, source: str, *, password: str | None, response: str, challenge: bytes
) -> frozenset[str] | None:
    """Return the policies of the user, or None where name, password, address or the policy "api" is wrong."""
    user = store["/user"].named(name)
    if user is None or user.fields["disabled"] == "true" or not allowed_from(user.fields["address"], source):
        return None
    known = user.fields.get("password", "")
    if password is not None:
        right = hmac.compare_digest(
            known.encode("utf-8", "surrogateescape"), password.encode("utf-8", "surrogateescape")
        )
    else:
        right = hmac.compare_digest(challenge_answer(known, challenge), response)
    policies = policies_of(store, user.fields["group"])
    return policies if right and "api" in policies else None


def policies_of(store: Store, group: str) -> frozenset[str]:
    """Return what a group may do."""
    row = store["/user/group"].named(group)
    listed = row.fields["policy"].split(",") if row is not None else []
    return frozenset(policy for policy in listed if policy and not policy.startswith("!"))
