"""Facts and accesses as JSON documents, for storage and for people to read; unknown keys are refused, not dropped.

Values that have their default are left out, so a document says what is special. Times are ISO 8601 in UTC.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from policy.access import Access, Kind
from policy.errors import PolicyError
from policy.facts import (
    AtLimit,
    Method,
    OperatorFacts,
    PlanFacts,
    RestrictedLook,
    ServiceFacts,
    SuspendedLook,
)
from policy.fair_use import FairUseTier, TierAction
from policy.rate_limit import canonical
from policy.reasons import Reason
from policy.standing import Standing
from policy.usage import SpanKind, UsageRule
from policy.windows import TimeWindow, zone

Document = dict[str, Any]
TEXT_MAXIMUM_BYTES = 253  # one RADIUS string attribute (RFC 2865 section 5)
VENDOR_TEXT_MAXIMUM_BYTES = 247  # one of a vendor's (section 5.26); FreeRADIUS would cut off the rest in silence
NUMBER_MAXIMUM = 2**63 - 1
INTEGER_MAXIMUM = 2**32 - 1
LIST_MAXIMUM = 32
PERCENT_MAXIMUM = 100

Value = TypeVar("Value")


def service_document(facts: ServiceFacts) -> Document:
    """The document of a service's facts."""
    return _document(facts._asdict(), ServiceFacts._field_defaults)


def read_service(document: Mapping[str, Any]) -> ServiceFacts:
    """Facts from their document. Raises PolicyError with the key that is wrong."""
    readers: dict[str, Callable[[Any], Any]] = {
        "service_id": _number,
        "method": _word(Method),
        "standing": _word(Standing),
        "plan_version_id": _number,
        "prepaid_until": read_time,
        "address": address,
        "ipv6_prefix": ipv6_prefix,
        "delegated_ipv6_prefix": ipv6_prefix,
        "routes": _texts,
    }
    return ServiceFacts(**_read(document, readers, ("service_id", "method", "standing", "plan_version_id")))


def plan_document(plan: PlanFacts) -> Document:
    """The document of a plan version, without its id and name, which the database keeps beside it."""
    defaults = {field.name: field.default for field in fields(PlanFacts)}
    document = _document({field.name: getattr(plan, field.name) for field in fields(PlanFacts)}, defaults)
    del document["plan_version_id"], document["name"]
    return document


def read_plan(document: Mapping[str, Any], plan_version_id: int, name: str) -> PlanFacts:
    """A plan version from its document. Raises PolicyError with the key that is wrong."""
    readers: dict[str, Callable[[Any], Any]] = {
        "rate_limit": lambda value: canonical(_text(value)),
        "address_lists": _many(_vendor_text),
        "tiers": _many(_read_tier),
        "warn_percents": _many(_percent),
        "windows": _many(_read_window),
        "usage_rules": _many(_read_usage_rule),
        "time_zone": lambda value: zone(_text(value)).key,
        "at_limit": _word(AtLimit),
        "quota_look": _read_look,
        "suspended": _read_look,
    }
    readers |= dict.fromkeys(("pool", "ipv6_pool", "filter_id"), _text)
    readers |= dict.fromkeys(("delegated_ipv6_pool", "group"), _vendor_text)
    on_the_wire = ("session_timeout_s", "idle_timeout_s", "interim_interval_s", "simultaneous_use")
    readers |= dict.fromkeys(on_the_wire, _integer)
    readers |= dict.fromkeys(("quota_bytes", "carry_over_bytes"), _number)
    return PlanFacts(plan_version_id, name, **_read(document, readers))


def on_the_clock(facts: Mapping[str, Any], before: Mapping[str, Any], time_zone: str) -> Document:
    """Facts of a plan whose hours are meant on this clock unless they name another; hours `before` keep theirs."""
    hours = {"windows", "usage_rules"}
    return dict(facts) if hours.isdisjoint(facts) or not hours.isdisjoint(before) else {"time_zone": time_zone, **facts}


def operator_document(operator: OperatorFacts) -> Document:
    """The document of an operator's choices for refused logins."""
    return {"refusals": {reason.value: _look_document(look) for reason, look in operator.refusals}}


def read_operator(document: Mapping[str, Any], operator_id: int) -> OperatorFacts:
    """An operator's choices from their document. Raises PolicyError with the key that is wrong."""
    return OperatorFacts(operator_id, **_read(document, {"refusals": _read_refusals}))


def access_document(access: Access) -> Document:
    """The document of an access."""
    return _document(access._asdict(), Access._field_defaults)


def read_access(document: Mapping[str, Any]) -> Access:
    """An access from its document. Raises PolicyError with the key that is wrong."""
    readers: dict[str, Callable[[Any], Any]] = dict.fromkeys(Access._fields, _text)
    numbers = (name for name, default in Access._field_defaults.items() if default == 0)
    readers |= dict.fromkeys(numbers, _number)
    readers |= {"kind": _word(Kind), "reason": _word(Reason), "address_lists": _texts, "routes": _texts}
    readers["valid_until"] = read_time
    return Access(**_read(document, readers, ("kind", "reason")))


def time_text(moment: datetime | None) -> str | None:
    """A moment as ISO 8601 text in UTC."""
    return moment.astimezone(UTC).isoformat() if moment is not None else None


def read_time(value: Any) -> datetime | None:
    """A moment from ISO 8601 text with an offset, or None."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(_text(value))
    except ValueError as error:
        raise PolicyError(f"{value!r} is not a time; write it as 2026-11-22T15:00:00+00:00") from error
    if moment.tzinfo is None:
        raise PolicyError(f"the time {value!r} has no offset; write it as 2026-11-22T15:00:00+00:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise PolicyError(f"the time {value!r} is before or after all years") from error


def address(value: Any) -> str:
    """An IPv4 address in its canonical text; a router would give any other from its pool or not at all."""
    text = _text(value)
    if not text:
        return ""
    try:
        parsed = ipaddress.IPv4Address(text)
    except ValueError as error:
        raise PolicyError(f"{text!r} is not an IPv4 address") from error
    if parsed.is_loopback or parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified:
        # RouterOS reads 127.0.0.0/8 and 224.0.0.0/3 as "use the profile's pool" (RADIUS page, Framed-IP-Address).
        raise PolicyError(f"{text} cannot be a customer's address; RouterOS would take one from its pool instead")
    return str(parsed)


def ipv6_prefix(value: Any) -> str:
    """An IPv6 prefix in its canonical text."""
    text = _text(value)
    if not text:
        return ""
    try:
        return str(ipaddress.IPv6Network(text))
    except ValueError as error:
        raise PolicyError(f"{text!r} is not an IPv6 prefix such as 2001:db8:1::/56") from error


def _look_document(look: RestrictedLook) -> Document:
    defaults = {field.name: None for field in fields(RestrictedLook)}
    return _document({field.name: getattr(look, field.name) for field in fields(RestrictedLook)}, defaults)


def _read_look(value: Any) -> RestrictedLook:
    readers: dict[str, Callable[[Any], Any]] = {
        "look": _word(SuspendedLook),
        "address_list": _vendor_text,
        "pool": _text,
        "rate_limit": lambda rate: canonical(_text(rate)),
        "session_timeout_s": _integer,
    }
    look = RestrictedLook(**_read(_mapping(value), readers))
    if look.look == SuspendedLook.POOL and not look.pool:
        raise PolicyError("a suspended look of kind pool needs the name of the pool")
    if look.look == SuspendedLook.RESTRICT and not look.address_list:
        raise PolicyError("a suspended look of kind restrict needs an address list, or nothing restricts the customer")
    return look


def _read_refusals(value: Any) -> tuple[tuple[Reason, RestrictedLook], ...]:
    looks = _read(_mapping(value), dict.fromkeys(Reason, _read_look))
    return tuple((Reason(reason), looks[reason]) for reason in sorted(looks))


def _read_tier(value: Any) -> FairUseTier:
    readers: dict[str, Callable[[Any], Any]] = {
        "from_bytes": _number,
        "rate_limit": lambda rate: canonical(_text(rate)),
        "span": _word(SpanKind),
        "action": _word(TierAction),
    }
    return FairUseTier(**_read(_mapping(value), readers, ("from_bytes",)))


def _read_window(value: Any) -> TimeWindow:
    readers: dict[str, Callable[[Any], Any]] = {
        "start_minute": _number,
        "end_minute": _number,
        "days": _many(_number),
        "rate_limit": lambda rate: canonical(_text(rate)),
        "closed": _flag,
    }
    return TimeWindow(**_read(_mapping(value), readers, ("start_minute", "end_minute")))


def _read_usage_rule(value: Any) -> UsageRule:
    readers: dict[str, Callable[[Any], Any]] = {
        "start_minute": _number,
        "end_minute": _number,
        "days": _many(_number),
        "upload_percent": _number,
        "download_percent": _number,
    }
    return UsageRule(**_read(_mapping(value), readers, ("start_minute", "end_minute")))


def _document(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Document:
    return {name: _plain(value) for name, value in values.items() if name not in defaults or value != defaults[name]}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, RestrictedLook):
        return _look_document(value)
    if isinstance(value, FairUseTier | TimeWindow | UsageRule):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


def _read(
    document: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]], needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in _mapping(document).items():
        if name not in readers:
            raise PolicyError(f"{name!r} is not known here; known are {', '.join(sorted(readers))}")
        try:
            values[name] = readers[name](value)
        except PolicyError as error:
            raise PolicyError(f"{name}: {error}") from error
    missing = [name for name in needed if name not in values]
    if missing:
        raise PolicyError(f"{missing[0]!r} is missing")
    return values


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PolicyError(f"{value!r} should be a group of named values")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise PolicyError(f"{value!r} should be text")
    if len(value.encode("utf-8", "surrogatepass")) > TEXT_MAXIMUM_BYTES:
        raise PolicyError(f"text is at most {TEXT_MAXIMUM_BYTES} bytes long here, one RADIUS attribute")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise PolicyError("text may hold any letters but no zero bytes")
    return value


def _vendor_text(value: Any) -> str:
    if len(_text(value).encode()) > VENDOR_TEXT_MAXIMUM_BYTES:
        raise PolicyError(f"text is at most {VENDOR_TEXT_MAXIMUM_BYTES} bytes long here, one attribute of a vendor")
    return _text(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > LIST_MAXIMUM:
        raise PolicyError(f"{value!r} should be a list of at most {LIST_MAXIMUM} texts")
    return tuple(_text(part) for part in value)


def _integer(value: Any) -> int:
    """A number that fits a RADIUS integer, 32 bits (RFC 2865 section 5)."""
    if _number(value) > INTEGER_MAXIMUM:
        raise PolicyError(f"{value!r} is more than a RADIUS attribute holds, {INTEGER_MAXIMUM}")
    return int(value)


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= NUMBER_MAXIMUM:
        raise PolicyError(f"{value!r} should be a whole number, zero or more")
    return value


def _percent(value: Any) -> int:
    if not 1 <= _number(value) <= PERCENT_MAXIMUM:
        raise PolicyError(f"{value!r} should be a share from 1 to {PERCENT_MAXIMUM} percent")
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise PolicyError(f"{value!r} should be true or false")
    return value


def _word(kind: Callable[[str], Value]) -> Callable[[Any], Value]:
    def read(value: Any) -> Value:
        try:
            return kind(value)
        except ValueError as error:
            known = ", ".join(str(word) for word in kind)  # type: ignore[attr-defined] # every caller passes an enum
            raise PolicyError(f"{value!r} should be one of {known}") from error

    return read


def _many(reader: Callable[[Any], Value]) -> Callable[[Any], tuple[Value, ...]]:
    def read(value: Any) -> tuple[Value, ...]:
        if not isinstance(value, list | tuple) or len(value) > LIST_MAXIMUM:
            raise PolicyError(f"{value!r} should be a list of at most {LIST_MAXIMUM} entries")
        return tuple(reader(part) for part in value)

    return read
