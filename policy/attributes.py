"""An access as RADIUS attributes, by the names of the FreeRADIUS dictionaries. One rendering for logins and CoA."""

from __future__ import annotations

from policy.access import Access, Kind

Attributes = tuple[tuple[str, str], ...]

GIGAWORD = 2**32


def reply_attributes(access: Access) -> list[tuple[str, str]]:
    """The attributes of an Access-Accept for this access, in dictionary order of use; none for a denial.

    Repeated names are meant to be added, not replaced. Class and Message-Authenticator are the caller's.
    """
    if access.kind == Kind.DENY:
        return []
    pairs: list[tuple[str, str]] = []
    if access.rate_limit:
        pairs.append(("Mikrotik-Rate-Limit", access.rate_limit))
    pairs += [("Mikrotik-Address-List", name) for name in access.address_lists]
    if access.address:
        pairs.append(("Framed-IP-Address", access.address))
    elif access.pool:
        pairs.append(("Framed-Pool", access.pool))
    if access.interim_interval_s:
        pairs.append(("Acct-Interim-Interval", str(access.interim_interval_s)))
    if access.session_timeout_s:
        pairs.append(("Session-Timeout", str(access.session_timeout_s)))
    if access.idle_timeout_s:
        pairs.append(("Idle-Timeout", str(access.idle_timeout_s)))
    if access[6:13] != ("", "", "", "", (), "", "") or access.port_limit or access.total_limit_bytes:
        pairs += _rare(access)
    return pairs


def _rare(access: Access) -> list[tuple[str, str]]:
    named = (
        ("Framed-IPv6-Prefix", access.ipv6_prefix),
        ("Delegated-IPv6-Prefix", access.delegated_ipv6_prefix),
        ("Framed-IPv6-Pool", access.ipv6_pool),
        ("Mikrotik-Delegated-IPv6-Pool", access.delegated_ipv6_pool),
        ("Mikrotik-Group", access.group),
        ("Filter-Id", access.filter_id),
    )
    pairs = [(name, value) for name, value in named if value]
    pairs += [("Framed-Route", route) for route in access.routes]
    if access.port_limit:
        pairs.append(("Port-Limit", str(access.port_limit)))
    if access.total_limit_bytes:
        # 32 bits each, the upper half in the Gigawords attribute (dictionary.mikrotik, 17 and 18).
        gigawords, rest = divmod(access.total_limit_bytes, GIGAWORD)
        pairs.append(("Mikrotik-Total-Limit", str(rest)))
        if gigawords:
            pairs.append(("Mikrotik-Total-Limit-Gigawords", str(gigawords)))
    return pairs
