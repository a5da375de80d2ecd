"""What happened to a customer, one sentence an event and the evidence beneath it; times are the operator's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from policy import wording
from policy.reasons import Reason, sentence

Data = Mapping[str, Any]


class Kind(StrEnum):
    """The kinds of entries, as a person chooses among them."""

    INVOICE = "invoice"
    INCOMING = "incoming"
    PAYMENT = "payment"
    CREDIT = "credit"
    REVERSAL = "reversal"
    ALLOCATION = "allocation"
    HOLD = "hold"
    OVERRIDE = "override"
    CHANGE = "change"
    APPROVAL = "approval"
    DECISION = "decision"
    STEP = "step"
    PACKET = "packet"
    PROOF = "proof"
    ONLINE = "online"
    OFFLINE = "offline"
    REFUSED = "refused"
    BINDING = "binding"
    NOTE = "note"
    NOTICE = "notice"
    COMPENSATION = "compensation"
    AUDIT = "audit"


class Told(NamedTuple):
    """An entry in words. `evidence` are lines of their own, such as the attributes of a packet."""

    sentence: str
    evidence: tuple[str, ...] = ()


def tell(kind: Kind, data: Data, time_zone: str) -> Told:
    """An entry in words. `data` is what `sql.timeline` reads for the kind; foreign text keeps to its line."""
    told = _TELLERS[kind](data, time_zone)
    return Told(wording.sentence(told.sentence), tuple(wording.escaped(line) for line in told.evidence))


def _money(data: Data) -> str:
    return wording.money(int(data["amount_minor"]), str(data["currency"]))


def _minute(value: Any, time_zone: str) -> str:
    return wording.minute(datetime.fromisoformat(str(value)), time_zone)


def _after(text: Any, before: str) -> str:
    return f"{before}{text}" if text else ""


def _invoice(data: Data, time_zone: str) -> Told:
    if data.get("voided"):
        return Told(f"Invoice {data['number']} was taken back.")
    about = _after(data.get("description"), ": ")
    return Told(f"Invoice {data['number']} over {_money(data)}, due {_minute(data['due_at'], time_zone)}{about}")


def _incoming(data: Data, _: str) -> Told:
    if data.get("decided"):
        return Told(f"{data['decided_by']} said whose {data['kind']} {data['incoming']} is.")
    told = f"{data['source']} told of a {data['kind']} of {_money(data)}, known there as {data['external_id']}"
    waited = "it waited for a person" if data.get("decided_by") else ""
    lines = [f"{name} {data[name]}" for name in ("reference", "payer") if data.get(name)]
    return Told(f"{told}{_after(waited or data.get('explanation'), ': ')}", tuple(lines))


def _payment(data: Data, _: str) -> Told:
    known = _after(data.get("external_id"), ", known as ") + _after(data.get("receipt_number"), ", receipt ")
    booked = (f"booked by {data['by']}",) if data.get("by") else ()
    return Told(f"Payment of {_money(data)} by {data['method']}{known}{_after(data.get('note'), ': ')}", booked)


def _credit(data: Data, _: str) -> Told:
    note = _after(data.get("note"), ": ")
    if data["kind"] == "write_off":
        return Told(f"{data['by']} gave up {_money(data)} of invoice {data['number']}{note}")
    return Told(f"{data['by']} gave a credit of {_money(data)}{note}")


def _reversal(data: Data, _: str) -> Told:
    thing = {"credit": "credit", "write_off": "write-off"}.get(str(data.get("of")), "payment")
    did = {
        "refund": f"{_money(data)} of {thing} {data['payment']} was given back",
        "chargeback": f"The payer's bank took back {_money(data)} of {thing} {data['payment']}",
        "correction": f"{_money(data)} of {thing} {data['payment']} was booked wrongly and taken back",
    }
    return Told(f"{did[str(data['kind'])]}: {data['reason']}", (f"booked by {data['by']}",))


def _allocation(data: Data, _: str) -> Told:
    if int(data["amount_minor"]) < 0:
        open_again = wording.money(-int(data["amount_minor"]), str(data["currency"]))
        return Told(f"{open_again} of invoice {data['number']} is open again; payment {data['payment']} paid it.")
    return Told(f"{_money(data)} of payment {data['payment']} paid invoice {data['number']}.")


def _hold(data: Data, time_zone: str) -> Told:
    if data.get("ended"):
        return Told(f"The promise of {data['by']} was taken back.")
    if data.get("settled"):
        end = _minute(data["until"], time_zone)
        return Told(f"The promise to pay before {end}, which {data['by']} took, was {data['settled']}.")
    until = datetime.fromisoformat(str(data["until"])) if data.get("until") else None
    amount = _money(data) if data.get("amount_minor") else ""
    number = str(data.get("number") or "")
    granted = wording.hold(str(data.get("kind")), until, time_zone, amount=amount, invoice=number)
    return Told(f"{data['by']} {granted}: {data['reason']}")


def _override(data: Data, time_zone: str) -> Told:
    if data.get("ended"):
        how = "was taken back early" if data.get("early") else "is over"
        return Told(f"The earlier access that {data['by']} gave back {how}.")
    undoes = _after(data.get("undoes"), ", undoing change ")
    until = _minute(data["until"], time_zone)
    return Told(f"{data['by']} gave back an earlier access until {until}{undoes}: {data['reason']}")


def _change(data: Data, _: str) -> Told:
    by = data.get("requested_by")
    asked = f", asked for by {by}" if by not in (None, "", "billing") else ""
    undoes = _after(data.get("undoes"), ", undoing change ")
    cause, consequence = data.get("cause") or "", data.get("consequence") or ""
    evidence = (f"no rule approved it: {data['held_back']}",) if data.get("held_back") else ()
    return Told(f"Change {data['change']} ({data['kind']}{asked}{undoes}) planned: {cause} {consequence}", evidence)


def _approval(data: Data, _: str) -> Told:
    more = f", one of {data['needs']} who must" if int(data.get("needs") or 1) > 1 else ""
    return Told(f"{data['by']} approved change {data['change']}{more}.")


def _decision(data: Data, _: str) -> Told:
    if data["state"] == "superseded" and data.get("by"):
        # Only a person's no has a name and can be over.
        until = f"rejected by {data['by']}, until that was not wanted any more."
        return Told(f"Change {data['change']} {until}{_after(data.get('note'), ' ')}")
    state = str(data["state"]).replace("_", " ")
    by = data.get("by") or (f'the rule "{data["rule"]}"' if data.get("rule") else "the worker")
    return Told(f"Change {data['change']} {state} by {by}.{_after(data.get('note'), ' ')}")


def _step(data: Data, _: str) -> Told:
    return Told(f"Step {data['step']}, {_route(data)}, planned. {data['why']}")


def _packet(data: Data, _: str) -> Told:
    trip = data.get("round_trip_ms")
    took = f", {float(trip):.1f} ms" if trip is not None else ""
    said = str(data.get("explanation") or "on its way.")
    return Told(f"{_route(data)}{took}: {said}", _attributes(data))


def _attributes(data: Data) -> tuple[str, ...]:
    lines = [f"step {data['step']}, attempt {data['attempt']}, {data.get('packets') or 0} {_what(data)} sent"]
    for name in ("sent", "reply"):
        lines += [f"{name} {' = '.join(str(part) for part in pair)}" for pair in data.get(name) or ()]
    return tuple(lines)


def _what(data: Data) -> str:
    return "commands" if data["route"] == "configure" else "packets"


def _route(data: Data) -> str:
    words = {
        "coa": "CoA to",
        "disconnect": "Disconnect to",
        "next_login": "at the next login on",
        "configure": "configuration of",
    }
    return f"{words.get(str(data['route']), str(data['route']))} {data['router']}"


def _proof(data: Data, _: str) -> Told:
    words = {"verified": "Proved", "unverified": "Not proved in time"}
    state = str(data["state"])
    return Told(
        f"{words.get(state, state.capitalize())}: {data['explanation']}",
        (f"step {data['step']} on {data['router']}{_after(data.get('proof'), ', proof: ')}",),
    )


def _online(data: Data, _: str) -> Told:
    device = _after(data.get("mac"), ", device ")
    address = data.get("address") or "unknown"
    return Told(f"Online on {data['router']}, session {data['acct_session_id']}, address {address}{device}.")


def _offline(data: Data, _: str) -> Told:
    cause = data.get("terminate_cause") or str(data.get("ended_by") or "").replace("_", " ")
    down, up = (wording.megabytes(int(data.get(name) or 0)) for name in ("download_bytes", "upload_bytes"))
    return Told(
        f"Offline on {data['router']}: session {data['acct_session_id']} ended ({cause}), {down} down, {up} up."
    )


def _refused(data: Data, _: str) -> Told:
    times = "once" if int(data["times"]) == 1 else f"{data['times']} times"
    reason = str(data["reason"])
    evidence = (sentence(Reason(reason)),) if reason in Reason.__members__.values() else ()
    device = _after(data.get("mac"), ", device ")
    said = reason.replace("_", " ")
    return Told(f"Login refused on {data['router']}, {times} in this hour: {said}{device}.", evidence)


def _binding(data: Data, _: str) -> Told:
    if not str(data["event"]).endswith(":learn"):
        had = [f"{name} {data[name]}" for name in ("mac", "router", "router_id", "port") if data.get(name)]
        return Told(f"{data['actor']} released the bindings{_after(', '.join(had), ': ')}.")
    kind = data.get("kind")
    value = {"mac": data.get("mac"), "port": data.get("port"), "router": data.get("router_id")}.get(str(kind))
    what = {"mac": "device", "port": "port", "router": "router number"}.get(str(kind), str(kind))
    return Told(f"Bound to the {what} {value} of the first login.")


def _note(data: Data, _: str) -> Told:
    lines = str(data.get("text") or "").splitlines() or [""]
    return Told(f"{data['actor']} noted: {lines[0]}", tuple(lines[1:]))


def _compensation(data: Data, _: str) -> Told:
    stuck = (str(data["explanation"]),) if data.get("explanation") else ()
    if data.get("undone"):
        how = "had to leave what was given" if data["state"] == "stuck" else "took back what was given"
        return Told(f"{data['by']} {how} for {data['compensation']}.", stuck)
    given = f"{data['days']} days" if data.get("days") else _money(data)
    return Told(f"{data['by']} gave {given} for {data['compensation']}: {data['reason']}", stuck)


def _notice(data: Data, time_zone: str) -> Told:
    notice = f"Notice ({data['event']}) by {data['channel']}"
    why = data["explanation"]
    told = {
        "sent": f"{notice} sent.",
        "waiting": f"{notice} waits until {_minute(data['due_at'], time_zone)}.{_after(why, ' ')}",
        "sending": f"{notice} is being sent.",
        "failed": f"{notice} could not be sent: {why}",
        "unknown": f"{notice} may or may not have been sent: {why}",
        "skipped": f"{notice} was not sent: {why}",
    }
    tries = (f"notice {data['notice']}, tried {data['attempts']} times",) if int(data["attempts"]) > 1 else ()
    return Told(told[str(data["state"])], tries)


def _audit(data: Data, _: str) -> Told:
    said = str(data["event"]).replace(":", " ").replace("_", " ")
    return Told(f"{data['actor']}: {said}", tuple(f"{name}: {value}" for name, value in _said(data)))


def _said(data: Data) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in sorted(data.items()) if name not in ("actor", "event")]


_TELLERS: dict[Kind, Callable[[Data, str], Told]] = {
    Kind.INVOICE: _invoice,
    Kind.INCOMING: _incoming,
    Kind.PAYMENT: _payment,
    Kind.CREDIT: _credit,
    Kind.REVERSAL: _reversal,
    Kind.ALLOCATION: _allocation,
    Kind.HOLD: _hold,
    Kind.OVERRIDE: _override,
    Kind.CHANGE: _change,
    Kind.APPROVAL: _approval,
    Kind.DECISION: _decision,
    Kind.STEP: _step,
    Kind.PACKET: _packet,
    Kind.PROOF: _proof,
    Kind.ONLINE: _online,
    Kind.OFFLINE: _offline,
    Kind.REFUSED: _refused,
    Kind.BINDING: _binding,
    Kind.NOTE: _note,
    Kind.NOTICE: _notice,
    Kind.COMPENSATION: _compensation,
    Kind.AUDIT: _audit,
}
