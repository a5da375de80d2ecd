"""The causes of a router's API: how it ended, what is the likely reason, and what to do next."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from policy.explanations.words import Words

_API: Final = "`ispagents router api set` here, /ip service and /user on {router}"

API: Final = MappingProxyType(
    {
        "observed": Words("{router} was read back and is as it should be.", "The commands took hold.", ""),
        "conflict": Words(
            "Nothing was sent: something that is not ours stands on {router} under the same name.",
            "Somebody set the customer up there by hand, or another program did.",
            "Remove or rename it on {router}, or take it over with `ispagents service place NAME --adopt`.",
        ),
        "not_as_wanted": Words(
            "{router} took every command, but reading back shows something else.",
            "Somebody changes the same items, a script undoes it, or this version means another thing by a value.",
            "Compare the items on {router} with the preview; it is tried again by itself.",
        ),
        "unusable": Words(
            "Nothing was sent: the API access of {router} cannot be used.",
            "It is not set up, its password cannot be opened any more, or a setting cannot work.",
            f"Compare {_API}.",
        ),
        "error": Words(
            "The API of {router} could not be used.",
            "It ended in a way that has no word of its own.",
            f"Compare {_API}.",
        ),
        "invalid_target": Words(
            "Nothing was sent: the API settings of {router} cannot work.",
            "One of them is nonsense.",
            f"Compare {_API}.",
        ),
        "invalid_command": Words(
            "Nothing was sent: a value does not fit into a command.",
            "A name or text is too long, or holds what the API has no way to say.",
            "Read the sentence of the attempt, which names it, and correct that.",
        ),
        "malformed": Words(
            "What came from {router} was not the RouterOS API.",
            "Another program listens on that port, or TLS meets a port without it.",
            "Compare the port here with /ip service on {router}.",
        ),
        "not_connected": Words(
            "There was no connection to the API of {router}.",
            "The worker was stopping, or the router had just closed it.",
            "Nothing: it is tried again by itself.",
        ),
        "unreachable": Words(
            "Nobody answered at the API of {router}.",
            "{router} or the line to it is down, the service is off, or its firewall or /ip service forbids us.",
            "Look at /ip service print and the firewall of {router}; it is tried again by itself.",
        ),
        "not_trusted": Words(
            "{router} showed another certificate than it should, so no password was sent.",
            "Its certificate was renewed, the wrong one is pinned, or somebody stands between.",
            "Compare the fingerprint on {router} with the one here; `ispagents router api set` takes a new one.",
        ),
        "login_refused": Words(
            "{router} does not let us in.",
            "User name or password is another, or it allows this user from other addresses only.",
            f"Compare {_API}.",
        ),
        "old_login": Words(
            "{router} asks for the login of releases before 6.43.",
            "It is old, and that login lets whoever listens guess the password.",
            "Update {router}; or allow it with `ispagents router api set --old-login`, inside a tunnel only.",
        ),
        "too_many": Words(
            "Nothing was sent: too much waits for {router} already.",
            "It answers slowly, or very much is to be changed at once.",
            "Nothing: it is tried again by itself.",
        ),
        "not_sent": Words(
            "The connection to {router} ended before the command was sent.",
            "The router or the line went down, or the router restarted.",
            "Nothing: it is tried again by itself.",
        ),
        "held_back": Words(
            "It was not sent, since an earlier command of the same change did not come to a good end.",
            "One command needs the other.",
            "Read what became of the earlier one.",
        ),
        "unknown": Words(
            "Whether {router} obeyed is not known.",
            "The connection ended before the answer.",
            "Nothing: it is looked at again by itself before anything else is sent.",
        ),
        "seen": Words(
            "The connection ended before the answer, but {router} shows that it was done.", "It was in time.", ""
        ),
        "not_done": Words(
            "The connection ended before the answer, and {router} shows that it was not done.",
            "The command did not reach it.",
            "Nothing: it is tried again by itself.",
        ),
        "unread": Words(
            "It was not taken back, since {router} could not be read.",
            "The connection ended meanwhile.",
            "Try again when {router} answers.",
        ),
        "changed_meanwhile": Words(
            "It was not taken back: somebody has changed it on {router} since.",
            "A person or another program was there.",
            "Look at it on {router}, and decide what it should be.",
        ),
        "kept": Words("{router} has what was sent before; it was kept for taking it back.", "It was done then.", ""),
        "done": Words("{router} did it.", "It answered so; reading back proves it.", ""),
        "already_there": Words("{router} had just this already.", "It was done before.", ""),
        "already_gone": Words("It was gone from {router} already.", "It was done before, or by somebody else.", ""),
        "refused": Words(
            "{router} understood the command and refused it.",
            "Its own words are in the sentence of the attempt.",
            "Correct what it names, on {router} or in the plan or style.",
        ),
        "already_exists": Words(
            "{router} has something with this name or address already.",
            "It is not ours, or it was made a moment ago.",
            "Look at it on {router}; take it over with `ispagents service place NAME --adopt`, or rename it.",
        ),
        "no_such_item": Words(
            "Something that the command named is not on {router}.",
            "It was removed meanwhile, or the style names a queue, pool or profile that is not there.",
            "Compare the style of {router} (`ispagents router api show`) with what it has.",
        ),
        "no_such_menu": Words(
            "{router} does not know this menu.",
            "Its version or packages lack it.",
            "Choose another style for {router}, or install the package there.",
        ),
        "not_permitted": Words(
            "Our user on {router} may not do this.",
            "Its group lacks a policy.",
            "`ispagents router script` shows the group that is needed.",
        ),
        "wrong_password": Words(
            "{router} does not accept our user name or password.",
            "They were changed on one side only.",
            f"Compare {_API}.",
        ),
        "invalid_value": Words(
            "{router} does not take a value, or does not know a field.",
            "Its version is older or newer than the style supposes.",
            "Read its words in the sentence of the attempt, and choose another style or value.",
        ),
        "full": Words(
            "Something on {router} is full.",
            "Its memory, disk, licence or a list has come to its limit.",
            "Make room on {router}; what waits is tried again by itself.",
        ),
        "busy": Words(
            "{router} was busy or interrupted.",
            "It had to finish something first.",
            "Nothing: it is tried again by itself.",
        ),
    }
)
CUT_SHORT: Final = Words(
    "The connection to {router} ended after a command was sent and before its answer.",
    "The router or the line went down in that moment ({detail}); whether it obeyed is not known.",
    "Nothing: it is looked at again by itself before anything else is sent.",
)
