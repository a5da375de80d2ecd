"""A stored preview as rows, and what differs between two: pure."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from web.changes.reading import differences, drops, rows


def side(kind: str, *attributes: tuple[str, str], why: str = "Because.") -> dict[str, Any]:
    """One side of a preview."""
    return {"access": {"kind": kind}, "attributes": [list(pair) for pair in attributes], "why": why}


def document(before: dict[str, Any] | None, after: dict[str, Any], *routes: str) -> dict[str, Any]:
    """A preview with live sessions of these routes."""
    sessions = [{"router": "tower-1", "route": route} for route in routes]
    return {"from": before, "to": after, "sessions": sessions, "consequence": f"{len(routes)} online."}


SPEED = ("Mikrotik-Rate-Limit", "10M/50M")
SLOW = ("Mikrotik-Rate-Limit", "256k/256k")


def test_each_attribute_has_one_row_and_changed_ones_are_marked() -> None:
    """Attributes of either side stand once, with several values together and nothing where there is none."""
    seen = document(
        side("grant", SPEED, ("Framed-Route", "10.0.0.0/24"), ("Framed-Route", "10.1.0.0/24")),
        side("restrict", SLOW, ("Mikrotik-Address-List", "overdue")),
    )
    found = {row.name: (row.before, row.after, row.changed) for row in rows(seen)}
    assert found["Mikrotik-Rate-Limit"] == ("10M/50M", "256k/256k", True)
    assert found["Framed-Route"] == ("10.0.0.0/24, 10.1.0.0/24", "", True)
    assert found["Mikrotik-Address-List"] == ("", "overdue", True)
    assert found["Reason"][2] is False
    assert len(found) == len(rows(seen))


def test_a_new_service_has_nothing_before() -> None:
    """Without a from-side the row says that the service is new."""
    assert rows(document(None, side("grant", SPEED)))[0].before == "nothing, the service is new"


def test_connections_that_drop_are_counted() -> None:
    """Only a Disconnect drops."""
    assert drops(document(None, side("deny"), "coa", "disconnect", "next_login", "disconnect")) == 2


def test_differences_name_what_moved() -> None:
    """A changed attribute, way and consequence each have a sentence."""
    seen = document(side("grant", SPEED), side("restrict", SLOW), "coa")
    now = document(side("grant", SPEED), side("restrict", ("Mikrotik-Rate-Limit", "1M/1M")))
    assert differences(seen, now) == [
        "After, Mikrotik-Rate-Limit: was 256k/256k, is now 1M/1M.",
        "Way to the network: was CoA: the connection stays up, is now nobody online.",
        "Consequence: was “1 online.”, is now “0 online.”.",
    ]


ATTRIBUTES = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.text(max_size=3)), max_size=4)
DOCUMENTS = st.builds(
    lambda kind, before, after, routes: document(side(kind, *before), side("deny", *after), *routes),
    st.sampled_from(["grant", "restrict", "deny"]),
    ATTRIBUTES,
    ATTRIBUTES,
    st.lists(st.sampled_from(["coa", "disconnect", "next_login", "none", "new_word"]), max_size=3),
)


@given(DOCUMENTS)
def test_a_preview_does_not_differ_from_itself(seen: dict[str, Any]) -> None:
    """No difference is made up."""
    assert differences(seen, seen) == []
