"""Error-Cause (RFC 5176 section 3.5): what a router means by each number, and what to do next."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from policy.explanations.words import Words

REFUSALS: Final = MappingProxyType(
    {
        201: Words(
            "The session was gone and {router} removed what was left of it (201).", "The customer went offline."
        ),
        202: Words(
            "{router} ignored an EAP packet (202).",
            "We never send one, so something on the way changes or makes packets.",
            "Look for a RADIUS proxy between here and {router}.",
        ),
        401: Words(
            "{router} does not support one of the attributes sent (401).",
            "Its CoA cannot change this; RouterOS is known to change rate, group and filters, and lists only if "
            "proved.",
            "Disconnect the session: the next login gets the new access. If the list was refused, say so for the "
            "future: `ispagents router set NAME --no-coa-address-list`.",
        ),
        402: Words(
            "{router} misses an attribute (402).",
            "It wants more of the session's identification than it was sent.",
            "Run `ispagents router test`, which finds out which identification it takes.",
        ),
        403: Words(
            "{router} says that it is not the one meant (403).",
            "NAS-IP-Address or NAS-Identifier is another one's, or the CoA address belongs to another router.",
            "Compare the CoA address and NAS-IP-Address here with the router: `ispagents router show NAME`.",
        ),
        404: Words(
            "{router} finds the request invalid (404).",
            "It wants other attributes, or another form of them.",
            "Run `ispagents router test`, and compare what was sent with the router's documentation.",
        ),
        405: Words(
            "{router} does not support the Service-Type (405).",
            "A proxy on the way adds it, since we send none.",
            "Look for a RADIUS proxy between here and {router}.",
        ),
        406: Words(
            "{router} does not support this kind of request (406).",
            "It takes only one of CoA and Disconnect, or none for this service.",
            "Run `ispagents router test`; where it takes none, say `ispagents router set NAME "
            "--no-dynamic-authorization`.",
        ),
        407: Words(
            "{router} rejects a value (407).",
            "The plan has a rate limit, list or group that this router cannot read.",
            "Check the plan's rate, list and group names; RouterOS writes rates as 10M/50M, upload first.",
        ),
        501: Words(
            "{router} prohibits the request (501).",
            "It is set not to take such requests from us.",
            "Allow it there; RouterOS: /radius incoming set accept=yes.",
        ),
        502: Words(
            "A RADIUS proxy has no route to {router} (502).",
            "The CoA address is a proxy's, and the proxy does not know this router.",
            "Send to the router itself (`ispagents router set NAME --coa-address`), or correct the proxy.",
        ),
        503: Words(
            "{router} has no such session (503).",
            "It ended or was renewed; the next login gets the new access by itself.",
            "If {router} still shows it, compare User-Name and Acct-Session-Id with what was sent.",
        ),
        504: Words(
            "{router} found the session but could not end it (504).",
            "The session is just starting or ending, or the router is busy.",
            "Nothing at first, it is tried again; then end the session on {router}.",
        ),
        505: Words(
            "A RADIUS proxy could not pass the request on (505).",
            "The proxy lost its way to {router}.",
            "Nothing at first, it is tried again; then look at the proxy's log.",
        ),
        506: Words(
            "{router} has no resources for it now (506).",
            "It is overloaded.",
            "Nothing at first, it is tried again; if it stays so, lower `--coa-window` of the router.",
        ),
        507: Words(
            "{router} asks the RADIUS server again instead of changing the session (507).",
            "That is its way of taking a CoA: a new login follows.",
            "Wait for that login.",
        ),
        508: Words(
            "The identification fits several sessions of {router}, and it changes one at a time only (508).",
            "One user name is online several times.",
            "Run `ispagents router test`: Acct-Session-Id and Framed-IP-Address tell the sessions apart.",
        ),
    }
)

UNDEFINED: Final = Words(
    "{router} refused with Error-Cause {detail}, which RFC 5176 does not define.",
    "It is a number of the maker's own.",
    "Look at the log of {router} for this moment.",
)
