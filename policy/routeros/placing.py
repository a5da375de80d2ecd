"""What a router should hold for a service, in a few letters: two that differ need other commands."""

from __future__ import annotations

import json
from hashlib import blake2b

from policy.access import Access
from policy.routeros.style import Style
from policy.routeros.wanted import Line, wanted_items

# Another way of writing the same things down is another number, and then everything is looked at again.
FORMAT = 1


def placement_stamp(line: Line, access: Access, style: Style) -> str:
    """The stamp of what a router should hold. Raises PolicyError where a router cannot do it.

    Of the password it holds whatever stands in `line`: a digest is enough to notice that it changed.
    """
    items = [tuple(item) for item in wanted_items(line, access, style)]
    said = json.dumps([items, style.cut_connections], ensure_ascii=False, separators=(",", ":"))
    return f"{FORMAT}-{blake2b(said.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"
