"""What a router shows of a service as one short text, so that drift is told by comparing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b

from policy.routeros.difference import proved
from policy.routeros.menus import field_of
from policy.routeros.objects import Wanted
from policy.routeros.reading import Observed
from policy.routeros.values import Kind

# Part of every state, so that states of another form are never taken for a difference on a router.
FORMAT = 1


def wanted_state(wanted: Iterable[Wanted]) -> str:
    """What `observed_state` gives when everything is as wanted, such as `1-0f3c...`. Passwords are no part of it."""
    items = sorted(
        [one.menu, one.key, [pair for pair in one.fields if not _secret(one.menu, pair[0])], one.tag, one.present]
        for one in dict.fromkeys(wanted)
    )
    return _hash(items)


def observed_state(wanted: Iterable[Wanted], observed: Observed) -> str:
    """A short text of what a router shows of what is wanted: that of `wanted_state` exactly when nothing is to do.

    Any other text stands for one way of being wrong, so that a drift that was left alone is known again.
    """
    wanted = tuple(wanted)
    wrong = proved(wanted, observed)
    return _hash(sorted(wrong)) if wrong else wanted_state(wanted)


def _secret(path: str, name: str) -> bool:
    return field_of(path, name).kind == Kind.SECRET


def _hash(content: object) -> str:
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return f"{FORMAT}-{blake2b(text.encode(), digest_size=8).hexdigest()}"
