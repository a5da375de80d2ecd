"""From what came back to one conclusion, and what to type. Pure."""

from __future__ import annotations

import ipaddress
import shlex
from enum import StrEnum
from typing import Final, NamedTuple

from policy.explanations import explain
from worker.self_test.place import Place
from worker.self_test.probes import Aim, Probe

# 402 misses an attribute, 403 means another router, 404 and 406 do not understand, 508 fits several sessions.
UNIDENTIFIED: Final = frozenset({f"error_cause:{number}" for number in (402, 403, 404, 406, 508)})
GONE: Final = frozenset({"session_gone", "already_offline"})


class Verdict(StrEnum):
    """What the self-test found, for programs."""

    RIGHT = "right"
    RIGHT_BUT_SET_AS_TAKING_NONE = "right_but_set_as_taking_none"
    NO_DISCONNECT = "no_disconnect"
    YES_TO_ANYTHING = "yes_to_anything"
    MISSING_IDENTIFIERS = "missing_identifiers"
    REFUSES = "refuses"
    WRONG_PORT = "wrong_port"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - a verdict, not a secret
    WRONG_SIGNING = "wrong_signing"
    WRONG_ADDRESS = "wrong_address"
    WRONG_SOURCE = "wrong_source"
    NOTHING_LISTENS = "nothing_listens"
    BEHIND_NAT = "behind_nat"
    SECRET_OR_SOURCE = "secret_or_source"  # noqa: S105 - the same
    SILENT = "silent"
    NOT_RADIUS = "not_radius"
    TAKES_NONE = "takes_none"
    UNREACHABLE = "unreachable"


class Conclusion(NamedTuple):
    """One sentence for people, what to type on the router (RouterOS), and what to type here; "" where nothing helps."""

    verdict: Verdict
    sentence: str
    on_router: str = ""
    here: str = ""

    @property
    def right(self) -> bool:
        """Whether changes reach the router as things are."""
        return self.verdict == Verdict.RIGHT


def conclude(place: Place, probes: tuple[Probe, ...]) -> Conclusion:
    """What the probes mean together; the first of them was to the configured port."""
    first = probes[0]
    if first.answered:
        return _answered(place, first, probes)
    if first.cause == "wrong_secret_signs":
        return _wrong_secret(place, first)
    found = _answered_elsewhere(place, probes)
    if found is not None:
        return found
    if not place.takes_coa:
        return Conclusion(
            Verdict.TAKES_NONE,
            f"{place.name} is set here as taking no CoA or Disconnect, and it does not answer, which fits: changes "
            "reach its customers at their next login.",
        )
    if first.nobody_listens:
        return _closed_port(place, first, probes)
    if first.cause != "timeout":
        verdict = Verdict.UNREACHABLE if first.cause.startswith("network:") else Verdict.NOT_RADIUS
        return Conclusion(verdict, explain(first.cause, router=place.name, where=first.where).text)
    return _silent(place, first, probes)


def _answered(place: Place, first: Probe, probes: tuple[Probe, ...]) -> Conclusion:
    disconnect = next((one for one in probes if one.aim is Aim.DISCONNECT), first)
    if "acknowledged" in (first.cause, disconnect.cause):
        return Conclusion(
            Verdict.YES_TO_ANYTHING,
            f"{place.name} is reached and has the right secret, but says yes to a session that cannot exist: do not "
            "trust its acknowledgements, only its accounting.",
        )
    if first.cause in UNIDENTIFIED and disconnect.cause not in GONE:
        return _unidentified(place, first, probes)
    if first.cause not in GONE:
        said = explain(first.cause, router=place.name, where=first.where)
        other = " It takes Disconnect." if disconnect.cause in GONE else ""
        start = f"{place.name} is reached and has the right secret, but refuses CoA.{other}"
        return Conclusion(
            Verdict.REFUSES,
            " ".join(part for part in (start, said.happened, said.next_step) if part),
            on_router=_accept(place) if first.cause == "error_cause:501" else "",
        )
    if disconnect.cause not in GONE:
        said = explain(disconnect.cause, router=place.name, where=disconnect.where)
        return Conclusion(
            Verdict.NO_DISCONNECT,
            f"{place.name} takes CoA, but no Disconnect, so what CoA cannot change waits for the next login. "
            f"{said.happened}",
        )
    if not place.takes_coa:
        return Conclusion(
            Verdict.RIGHT_BUT_SET_AS_TAKING_NONE,
            f"{place.name} takes CoA and Disconnect from {place.source}, but is set here as taking none.",
            here=_set(place, "--dynamic-authorization"),
        )
    return Conclusion(
        Verdict.RIGHT,
        f"All is right: {place.name} takes CoA and Disconnect from {place.source} on port {first.port}, and the secret "
        "is the same on both sides.",
    )


def _unidentified(place: Place, first: Probe, probes: tuple[Probe, ...]) -> Conclusion:
    said = explain(first.cause, router=place.name, where=first.where)
    accepted = [one.identified_by for one in probes if one.aim is Aim.IDENTIFICATION and one.cause in GONE]
    start = f"{place.name} is reached and has the right secret, but does not understand which session is meant."
    if accepted:
        taken = "; or ".join(_listed(names) for names in accepted)
        rest = f"It takes {taken}, while it is sent {_listed(place.target.identify_by)}."
    else:
        rest = f"It took none of the identifications that were tried. {said.happened} {said.next_step}"
    return Conclusion(
        Verdict.MISSING_IDENTIFIERS,
        f"{start} {rest} Until both agree, changes can only wait for the next login there.",
        here=_set(place, "--no-dynamic-authorization"),
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]


def _answered_elsewhere(place: Place, probes: tuple[Probe, ...]) -> Conclusion | None:
    """An answer to the same request put another way, which names the mistake."""
    first = probes[0]
    for one in probes[1:]:
        if one.aim is Aim.PORT and one.somebody_there:
            secret = "" if one.answered else " The secret there differs as well."
            return Conclusion(
                Verdict.WRONG_PORT,
                f"{place.name} answers on port {one.port}, while {first.port} is set here: the port is wrong.{secret}",
                on_router=_accept(place),
                here=_set(place, f"--coa-port {one.port}"),
            )
        if not one.answered:
            continue
        if one.aim is Aim.SIGNING:
            return _wrong_signing(place)
        if one.aim is Aim.ADDRESS:
            return Conclusion(
                Verdict.WRONG_ADDRESS,
                f"{place.name} answers at {one.address}, while its CoA goes to {first.address}: the CoA address is "
                "wrong.",
                here=_set(place, f"--coa-address {one.address}"),
            )
        if one.aim is Aim.SOURCE:
            return _wrong_source(place, one)
    return None


def _wrong_source(place: Place, one: Probe) -> Conclusion:
    sentence = (
        f"{place.name} answers to {one.source} and not to {place.source}, from which CoA leaves here: it knows another "
        "of our addresses as its RADIUS server."
    )
    here = f"ISPAGENTS_NODE_ADDRESS={one.source}"
    if one.port != place.target.port:
        sentence += f" The port is wrong as well: it answers on {one.port}, and {place.target.port} is set here."
        here += f", and {_set(place, f'--coa-port {one.port}')}"
    return Conclusion(Verdict.WRONG_SOURCE, sentence, here=here)


def _wrong_signing(place: Place) -> Conclusion:
    if place.target.message_authenticator:
        said = "takes requests only without Message-Authenticator, and is sent it"
    else:
        said = "demands Message-Authenticator, and is sent none"
    option = "--no-coa-message-authenticator" if place.target.message_authenticator else "--coa-message-authenticator"
    return Conclusion(
        Verdict.WRONG_SIGNING,
        f"{place.name} is reached and has the right secret, but {said}.",
        here=_set(place, option),
    )


def _wrong_secret(place: Place, first: Probe) -> Conclusion:
    return Conclusion(
        Verdict.WRONG_SECRET,
        f"{place.name} answers on port {first.port}, but signs with another secret than the one stored here.",
        on_router=f"/radius set [find address={place.source}] secret=THE-SECRET",
        here=_set(place, "--secret-stdin"),
    )


def _closed_port(place: Place, first: Probe, probes: tuple[Probe, ...]) -> Conclusion:
    open_ = next((one for one in probes if one.aim is Aim.PORT and one.cause == "timeout"), None)
    if open_ is not None:
        # The same machine refuses one port by ICMP and takes packets on the other.
        return Conclusion(
            Verdict.WRONG_PORT,
            f"Nothing listens on port {first.port}, which is set here; something has port {open_.port} open, so that "
            f"is most likely the port. It says nothing to us there: the secret differs as well, or {place.name} knows "
            f"another address than {place.source} as its RADIUS server.",
            on_router=_accept(place),
            here=_set(place, f"--coa-port {open_.port}"),
        )
    return Conclusion(
        Verdict.NOTHING_LISTENS,
        f"{first.address} is up, but nothing listens on the usual ports: {place.name} does not accept incoming "
        "requests.",
        on_router=_accept(place),
    )


def _silent(place: Place, first: Probe, probes: tuple[Probe, ...]) -> Conclusion:
    if any(one.aim is Aim.PORT and one.nobody_listens for one in probes):
        # The machine answers for its other port, so it is up, no firewall hides it, and something has the port open.
        return Conclusion(
            Verdict.SECRET_OR_SOURCE,
            f"{first.address} is up and something has port {first.port} open, but it says nothing to us: either the "
            f"secret differs, or {place.name} knows another address than {place.source} as its RADIUS server; from "
            "here these two cannot be told apart.",
            on_router=f"/radius print where address={place.source}",
        )
    nat = _nat(place)
    if nat:
        return Conclusion(Verdict.BEHIND_NAT, nat)
    heard = ""
    if place.heard_at is not None:
        heard = f" Its accounting was heard at {place.heard_at:%Y-%m-%d %H:%M} UTC, so the line to it may well be up."
    return Conclusion(
        Verdict.SILENT,
        f"{place.name} is silent on every port: incoming requests are not accepted, a firewall drops them, or it is "
        f"down. Silence cannot be told from a wrong secret, or from a RADIUS server address other than "
        f"{place.source}.{heard}",
        on_router=_accept(place),
    )


def _nat(place: Place) -> str:
    """What the router's own addresses say about NAT on the way; "" when they say nothing."""
    target = place.target.address
    help_ = f"let UDP port {place.target.port} through to it, or reach it by a tunnel and set that as its CoA address"
    if place.radius_address != target and place.heard_at is not None:
        return (
            f"Nothing answers at {target}, where CoA goes, while the accounting of {place.name} arrives from "
            f"{place.radius_address}: it is probably behind NAT; {help_}."
        )
    if place.nas_address and place.nas_address != target and _is_private(place.nas_address):
        return (
            f"{place.name} calls itself {place.nas_address} and is silent at {target}: it is probably behind NAT; "
            f"{help_}."
        )
    return ""


def _is_private(address: str) -> bool:
    return ipaddress.ip_address(address).is_private


def _set(place: Place, option: str) -> str:
    return f"ispagents router set {shlex.quote(place.name)} {option}"


def _accept(place: Place) -> str:
    return f"/radius incoming set accept=yes port={place.target.port}"
