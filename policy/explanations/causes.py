"""The causes that this program names itself, by their words in the evidence."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from policy.explanations.words import Words

CAUSES: Final = MappingProxyType(
    {
        "acknowledged": Words(
            "{router} said yes.",
            "It was most likely carried out, but a yes is no proof: some routers say it and change nothing.",
            "Wait for the proof; if the customer still has the old access, look at the session on {router}, and "
            "disconnect it if it is unchanged.",
        ),
        "already_offline": Words(
            "{router} had no such session any more.",
            "The customer went offline before; the next login gets the new access by itself.",
            "If {router} still shows the session, its identification differs from ours: compare User-Name and "
            "Acct-Session-Id, and run `ispagents router test`.",
        ),
        "session_gone": Words(
            "{router} had no such session any more, so there was nothing to change.",
            "The customer redialled or went offline; the next login gets the new access by itself.",
            "If {router} still shows the session, its identification differs from ours: compare User-Name and "
            "Acct-Session-Id, and run `ispagents router test`.",
        ),
        "no_error_cause": Words(
            "{router} refused and did not say why.",
            "It did not find the session by what was sent, or its service supports no such change.",
            "Look at the log of {router}, compare the identification sent with its list of sessions, or disconnect "
            "there.",
        ),
        "timeout": Words(
            "No answer came from {where}.",
            "{router} is down or unreachable, does not accept incoming requests, listens on another port, has another "
            "secret, or takes CoA from another address than ours only; these look the same from here.",
            "Run `ispagents router test`, which tells most of them apart; the worker goes on trying meanwhile.",
        ),
        "malformed_replies": Words(
            "Answers came from {where}, but they were no RADIUS answers to what was sent.",
            "Another program listens on that port, or something on the way changes packets.",
            "Compare the CoA port here and on {router}; RouterOS has it in /radius incoming.",
        ),
        "wrong_secret_signs": Words(
            "Answers came from {where}, all with a wrong signature.",
            "The RADIUS secret here differs from the one that {router} has for our address.",
            "Set both to the same: `ispagents router set NAME --secret-stdin` here, /radius set secret=... there.",
        ),
        "missing_message_authenticator": Words(
            "Answers came from {where} without Message-Authenticator, which is demanded of {router}.",
            "{router} is older than the setting supposes.",
            "Stop demanding it from this router, or update the router.",
        ),
        "port_unreachable": Words(
            "{where} said that nothing listens there.",
            "{router} does not accept incoming requests, listens on another port, or is just starting.",
            "On RouterOS: /radius incoming set accept=yes port=3799, and the same port here; `ispagents router test` "
            "finds out which port answers.",
        ),
        "closed": Words(
            "This program was stopped while it waited for {router}.",
            "The worker was restarted; whether {router} acted is not known.",
            "Nothing: the same is sent again by itself, which does no harm.",
        ),
        "closed_before_sending": Words(
            "This program was stopped before anything was sent to {router}.",
            "The worker was restarted.",
            "Nothing: it is sent by itself.",
        ),
        "edge_behind": Words(
            "Nothing was sent: a RADIUS server still had the earlier access.",
            "Its replica is behind, and a customer who is disconnected now would redial into the old access.",
            "Nothing at first, it is tried again; if it stays so, look at edge in `ispagents status`.",
        ),
        "secret_unusable": Words(
            "Nothing was sent: the RADIUS secret of {router} cannot be opened.",
            "The key file was replaced, or the database comes from another installation.",
            "Put the right secrets.key back, or set the secret again with `ispagents router set NAME --secret-stdin`.",
        ),
        "not_sent": Words(
            "Nothing was sent: the packet could not be made, or this machine could not send it.",
            "A value does not fit into its attribute, an address is of the other IP family, or the worker was "
            "stopping.",
            "Read the sentence of the attempt, which names the value or the setting, and correct that.",
        ),
        "unverified": Words(
            "{router} acknowledged the change, and no proof came in time.",
            "It may have said yes without acting, or its accounting does not arrive; the customer may still have the "
            "earlier access.",
            "Look at the session on {router}: if it is unchanged, disconnect it there; if it changed, look why "
            "accounting does not arrive (/ppp aaa interim-update, `ispagents status`).",
        ),
        "writes_stopped": Words(
            "Nothing was sent: somebody stopped all network writes of this operator.",
            "The switch is set on purpose; what is approved waits and is not lost.",
            "Find out why; when the reason is gone, let the writes go on, and what waits is sent by itself.",
        ),
        "left_alone": Words(
            "Nothing was sent: {router} has not answered several times in a row and is left alone for a while.",
            "{router} or its line is down; its customers cannot be told until it is back, and nobody is suspended for "
            "that.",
            "Bring the router back, or find out with `ispagents router test`; what waits is then sent by itself.",
        ),
    }
)

NOT_CHANGEABLE: Final = Words(
    "Nothing was sent: a CoA cannot change {detail} of a live session.",
    "RouterOS changes speed, group and filters by CoA, but never addresses, pools and routes.",
    "Disconnect the session; the next login gets the new value.",
)
UNKNOWN: Final = Words(
    "It ended as {detail!r}, a word that this version has no explanation for.",
    "It was stored by another version, or the catalogue has a gap.",
    "Read the sentence beside it, and report the word.",
)
