"""Which probes to send, each chosen by what came back before."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Final, NamedTuple

from network.coa.errors import CoaError
from network.coa.packets import Kind
from network.coa.target import DEFAULT_IDENTIFY_BY, IDENTIFICATION, Retransmission
from network.coa.transport import Transport
from network.coa.verbs import NAMES_A_SESSION, Session
from worker.self_test.conclusion import UNIDENTIFIED, Conclusion, conclude
from worker.self_test.place import Place
from worker.self_test.probes import PATIENCE, Aim, Probe, ask, nobody, variant

USUAL_PORTS: Final = (3799, 1700)  # RFC 5176 section 2.1, and what RouterOS documents
# From what is sent today to what other makes want, then each by itself.
IDENTIFICATIONS: Final = (
    (*DEFAULT_IDENTIFY_BY, "NAS-IP-Address"),
    (*DEFAULT_IDENTIFY_BY, "NAS-Identifier"),
    (*DEFAULT_IDENTIFY_BY, "Calling-Station-Id"),
    IDENTIFICATION,
    *((name,) for name in IDENTIFICATION if name in NAMES_A_SESSION),
)


class Report(NamedTuple):
    """All probes in the order they were sent, and the one conclusion."""

    probes: tuple[Probe, ...]
    conclusion: Conclusion


async def examine(
    place: Place, *, patience: Retransmission = PATIENCE, usual_ports: tuple[int, ...] = USUAL_PORTS
) -> Report:
    """Send harmless requests until it is clear how the router answers, or that it cannot be told.

    Raises CoaError where nothing can be sent from here at all.
    """
    async with Transport(place.source, max_sockets=1) as transport:
        who = nobody(place)
        target = variant(place.target, patience=patience)
        first = await ask(transport, place, who, Aim.CONFIGURED, target)
        if first.answered:
            more = await _about_the_answer(transport, place, who, first, patience)
        elif first.somebody_there:
            more = []
        else:
            more = await _about_the_silence(transport, place, who, patience, usual_ports)
    probes = (first, *more)
    return Report(probes, conclude(place, probes))


async def _about_the_answer(
    transport: Transport, place: Place, who: Session, first: Probe, patience: Retransmission
) -> list[Probe]:
    if first.cause == "acknowledged":
        return []  # whom its yes was about is not known, so it is asked nothing that could end a session
    found = []
    if first.cause in UNIDENTIFIED:
        for names in IDENTIFICATIONS:
            if all(name != "NAS-IP-Address" or who.nas_ip_address for name in names):
                target = variant(place.target, patience=patience, identify_by=names)
                found.append(await ask(transport, place, who, Aim.IDENTIFICATION, target))
    target = variant(place.target, patience=patience)
    found.append(await ask(transport, place, who, Aim.DISCONNECT, target, Kind.DISCONNECT))
    return found


async def _about_the_silence(
    transport: Transport, place: Place, who: Session, patience: Retransmission, usual_ports: tuple[int, ...]
) -> list[Probe]:
    base = place.target
    ports = tuple(dict.fromkeys((base.port, *usual_ports)))
    asked: list[Coroutine[None, None, Probe | None]] = [
        ask(transport, place, who, Aim.PORT, variant(base, patience=patience, port=port)) for port in ports[1:]
    ]
    signing = variant(base, patience=patience, message_authenticator=not base.message_authenticator)
    asked += [
        ask(transport, place, who, Aim.SIGNING, signing),
        *(
            ask(transport, place, who, Aim.ADDRESS, variant(base, patience=patience, address=address))
            for address in place.addresses_elsewhere
        ),
        *(_from_elsewhere(place, who, source, patience, port) for source in place.other_sources for port in ports),
    ]
    return [probe for probe in await asyncio.gather(*asked) if probe is not None]


async def _from_elsewhere(place: Place, who: Session, source: str, patience: Retransmission, port: int) -> Probe | None:
    """The same from another address of this machine; None where it is not this machine's after all."""
    try:
        async with Transport(source, max_sockets=1) as transport:
            return await ask(transport, place, who, Aim.SOURCE, variant(place.target, patience=patience, port=port))
    except CoaError:
        return None
