"""What every template may use: who is there, what the menu shows, and how moments and amounts are written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, g, url_for
from markupsafe import Markup

from policy import wording
from policy.money import currency as currencies
from policy.windows import zone
from web.roles import may_use, sees_money

# Browsers keep a file as long as this stands.
VERSIONS = {"vendor/tabler/tabler.min.css": "1.6.1", "vendor/htmx/htmx.min.js": "4.0.1"}
OWN_VERSION = "2"
MENU = (
    ("home.show", "Home"),
    ("changes.list_all", "Changes"),
    ("batches.list_all", "Batches"),
    ("customers.list_all", "Customers"),
    ("audit.list_all", "Audit"),
)
COLOURS = {
    "awaiting_approval": "orange",
    "approved": "green",
    "verified": "green",
    "current": "green",
    "grant": "green",
    "applied": "green",
    "acknowledged": "azure",
    "due": "azure",
    "grace": "yellow",
    "overdue": "orange",
    "restrict": "orange",
    "retrying": "orange",
    "rejected": "red",
    "refused": "red",
    "stuck": "red",
    "unverified": "red",
    "suspended": "red",
    "deny": "red",
    "suspend": "orange",
    "restore": "green",
    "close": "red",
}

PROOFS = {
    "acknowledged": "Proof: none yet but the router's word.",
    "ended": "Proof: the session ended.",
    "observed": "Proof: it was read back.",
}


def install(app: Flask) -> None:
    """Give the templates their words."""
    app.jinja_env.filters.update(moment=moment, age=age, words=words, money=money, colour=colour, compact=compact)
    app.jinja_env.filters.update(span=span, proof=proof)
    app.jinja_env.globals.update(file=file, menu=menu)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True

    @app.context_processor
    def who() -> dict[str, Any]:
        return {"person": g.get("person"), "may": _may, "shows_money": shows_money(), "time_zone": g.get("time_zone")}


def shows_money() -> bool:
    """Whether whoever asks is shown amounts."""
    return "person" in g and sees_money(g.person.role_names)


def file(name: str) -> str:
    """The address of a static file, with its version."""
    return url_for("static", filename=name, v=VERSIONS.get(name, OWN_VERSION))


def menu(person: Any) -> list[tuple[str, str]]:
    """What a person's menu shows: address and word."""
    return [(url_for(endpoint), word) for endpoint, word in MENU if may_use(person.role_names, endpoint)]


def moment(value: datetime | str | None) -> Markup | str:
    """A moment in the operator's time zone, to the second on hovering."""
    if value is None:
        return "never"
    at = _local(datetime.fromisoformat(value) if isinstance(value, str) else value)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S %Z}", f"{at:%Y-%m-%d %H:%M}"
    )


def age(value: datetime | None) -> Markup | str:
    """How long ago, in the largest unit that says enough."""
    if value is None:
        return "never"
    seconds = max(0, int((datetime.now(UTC) - value).total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = seconds // size
            said = f"{number} {unit}{'s' if number > 1 else ''} ago"
            break
    else:
        said = "just now"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        value.isoformat(), f"{_local(value):%Y-%m-%d %H:%M:%S %Z}", said
    )


def span(seconds: int) -> str:
    """A length of time in words."""
    return wording.span(timedelta(seconds=seconds))


def proof(level: str) -> str:
    """How sure it is that a step took effect."""
    return PROOFS.get(level, f"Proof: {words(level)}.")


def words(value: str) -> str:
    """A name of ours as words."""
    return value.replace("_", " ")


def money(minor: int, currency: str) -> str:
    """An amount of minor units."""
    return currencies.money(minor, currency)


def colour(word: str) -> str:
    """The class of a badge for a state, kind or standing."""
    return f"bg-{COLOURS.get(word, 'secondary')}-lt"


def compact(value: Any) -> str:
    """A document on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_short(part)}" for key, part in value.items())
    return _short(value)


def note_text(text: str | None) -> str:
    """What somebody wrote into a form, on one line."""
    return " ".join((text or "").replace("\0", "").split())


def _local(at: datetime) -> datetime:
    return at.astimezone(zone(g.get("time_zone", "UTC")))


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _may(endpoint: str) -> bool:
    return "person" in g and may_use(g.person.role_names, endpoint)
