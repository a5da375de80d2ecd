"""Why nobody is online: what stands in the way of a login, the most pressing first."""

from __future__ import annotations

from policy import wording
from policy.access import Access, Kind
from policy.cause import Cause, Code, NextStep, awaiting, by_access, undecided
from policy.changes.intent import Intent
from policy.reasons import Reason, sentence
from policy.situation import EndedLine, LiveLine, Refused, Situation
from policy.wording import command

# Refusals that the authorised access itself asks for; all others lie in what the login said of itself.
OF_THE_ACCESS = (
    Reason.UNKNOWN_USER,
    Reason.CLOSED,
    Reason.SUSPENDED,
    Reason.PREPAID_ENDED,
    Reason.QUOTA_USED,
    Reason.OUTSIDE_HOURS,
)


def shut_out(situation: Situation) -> list[Cause]:
    """Why no login would be accepted now, whoever tries; empty where one would."""
    if situation.authorised is None:
        return [_not_authorised(situation)]
    if situation.authorised.kind != Kind.DENY:
        return []
    return [one for one in (undecided(situation), by_access(situation, situation.authorised)) if one is not None]


def last_refusal(situation: Situation) -> Refused | None:
    """The newest refused login, where it is the customer's last word and would be refused again."""
    newest = max(situation.refused, key=lambda one: one.last_at, default=None)
    ended = situation.last_session
    if newest is None or (ended is not None and newest.last_at <= ended.ended_at):
        return None
    authorised = situation.authorised
    if newest.reason in OF_THE_ACCESS and authorised is not None and authorised.kind != Kind.DENY:
        # Refused by what was authorised before: nothing but the next try is missing, unless a server lags behind.
        lags = any(node.behind or node.silent for node in situation.nodes)
        return newest if lags and _since(situation, newest) else None
    if newest.reason == Reason.WRONG_DEVICE and situation.bound_mac in ("", newest.mac):
        return None
    return newest


def refusal(situation: Situation, one: Refused) -> Cause:
    """The cause that a refused login tells."""
    ago = wording.span(situation.now - one.last_at)
    times = "" if one.times == 1 else f", the {wording.ordinal(one.times)} in that hour"
    login = f"its last login on {wording.short(one.router)} ({ago} ago{times})"
    evidence = f"refused login {one.id}"
    look = NextStep(command("timeline", situation.username, "--kind refused"), "see all refused logins")
    name = situation.username
    if one.reason in OF_THE_ACCESS:
        words = f"{login} was still answered by what was authorised before"
        lagging = " and ".join(wording.short(node.name) for node in situation.nodes if node.behind or node.silent)
        steps = (NextStep(command("status"), "see why edge lags behind"), look)
        return Cause(
            Code.EDGE_BEHIND, words, evidence, steps, f"the RADIUS server {lagging} does not have the news yet"
        )
    if one.reason == Reason.WRONG_PASSWORD:
        new = NextStep(command("service password", name, "--generate-password"), "give it a new password")
        remedy = "compare the password on the customer's router"
        return Cause(Code.WRONG_PASSWORD, f"{login} came with a wrong password", evidence, (new, look), remedy)
    if one.reason == Reason.WRONG_DEVICE:
        device = f"from device {wording.short(one.mac)}" if one.mac else "from a device that did not say its MAC"
        words = f"{login} came {device}, and the service is bound to {wording.short(situation.bound_mac)}"
        unbind = NextStep(command("service unbind", name), "let the next device be learnt, if it was replaced")
        return Cause(Code.WRONG_DEVICE, words, evidence, (unbind, look))
    if one.reason in (Reason.WRONG_ROUTER, Reason.WRONG_PORT):
        bound = situation.bound_router if one.reason == Reason.WRONG_ROUTER else situation.bound_port
        where = "router" if one.reason == Reason.WRONG_ROUTER else "port"
        words = f"{login} came through another {where} than {wording.short(bound) or 'the one'} that it is bound to"
        unbind = NextStep(command("service unbind", name), f"let the next {where} be learnt, if the customer moved")
        return Cause(Code.WRONG_PLACE, words, evidence, (unbind, look))
    if one.reason == Reason.WRONG_METHOD:
        words = f"{login} did not come by {situation.method}, which the service was sold for"
        return Cause(Code.WRONG_METHOD, words, evidence, (NextStep(command("service show", name), "compare"), look))
    return Cause(Code.LOGIN_REFUSED, f"{login} was refused: {_reason_words(one.reason)}", evidence, (look,))


def quiet(situation: Situation, line: LiveLine) -> list[Cause]:
    """Why a session that has gone quiet is most likely gone."""
    age = wording.span(situation.now - line.last_seen_at)
    name = wording.short(line.router.name)
    test = NextStep(command("router test", line.router.name), "see whether the router answers")
    evidence = line.evidence
    if line.router.down_since is not None:
        down = wording.span(situation.now - line.router.down_since)
        words = f"router {name} has not answered for {down}, and the session has not reported for {age}"
        return [Cause(Code.ROUTER_DOWN, words, evidence, (test,))]
    words = f"its session on {name} has not reported for {age}"
    ask = NextStep(command("timeline", situation.username), "see what the line did before")
    return [Cause(Code.SESSION_QUIET, words, evidence, (test, ask), "the router or the line to it may be down")]


def silence(situation: Situation) -> list[Cause]:
    """Why no login comes at all, where one would be accepted."""
    ended = situation.last_session
    found = []
    if ended is not None and ended.router.down_since is not None:
        down = wording.span(situation.now - ended.router.down_since)
        name = wording.short(ended.router.name)
        test = NextStep(command("router test", ended.router.name), "see whether the router answers")
        words = f"router {name}, where the last session was, has not answered for {down}"
        found.append(Cause(Code.ROUTER_DOWN, words, f"session {ended.id}", (test,)))
    if situation.nodes and all(node.silent for node in situation.nodes):
        names = " and ".join(wording.short(node.name) for node in situation.nodes)
        step = NextStep(command("status"), "see what runs")
        found.append(Cause(Code.EDGE_SILENT, f"edge of {names} is silent, so logins may not be answered", "", (step,)))
    look = NextStep(command("timeline", situation.username), "see what happened last")
    if ended is None:
        found.append(_never_online(situation, look))
        return found
    words = f"its last session ended ({end_of(ended)}) and it has not logged in since"
    remedy = "a login would be accepted, so check the customer's router and the line to it"
    found.append(Cause(Code.NO_LOGIN, words, f"session {ended.id}", (look,), remedy))
    return found


def _never_online(situation: Situation, look: NextStep) -> Cause:
    """No router ever reported a session. What was accepted is not stored, except for the device that it taught."""
    show = NextStep(command("service show", situation.username), "compare user name and method with the router's")
    if situation.bound_mac:
        words = f"device {wording.short(situation.bound_mac)} was let in, but no router has reported its session yet"
        return Cause(Code.NEVER_ONLINE, words, "", (look, show), "check that the router sends RADIUS accounting")
    words = "no router has reported a session of this user name yet"
    return Cause(Code.NEVER_ONLINE, words, "", (show, look), "check what the customer's router dials with")


def end_of(ended: EndedLine) -> str:
    """How a session ended: the router's own word, or how it was found out."""
    return wording.clause(ended.cause) or wording.clause(ended.by.replace("_", " ")) or "unknown"


def afterwards(situation: Situation) -> list[Cause]:
    """What the customer would still lack after a login."""
    access: Access | None = situation.authorised
    if access is None or access.kind == Kind.DENY:
        return []
    held = undecided(situation)
    limited = by_access(situation, access) if access.kind == Kind.RESTRICT else None
    return [one for one in (held, limited) if one is not None]


def _since(situation: Situation, one: Refused) -> bool:
    return situation.authorised_at is None or one.last_at >= situation.authorised_at


def _reason_words(reason: str) -> str:
    try:
        return wording.clause(sentence(Reason(reason)))
    except ValueError:
        return wording.clause(reason.replace("_", " "))


def _not_authorised(situation: Situation) -> Cause:
    decision = situation.decision
    if decision is not None and decision.state == Intent.AWAITING_APPROVAL:
        return awaiting(situation, decision)
    held = undecided(situation)
    if held is not None and held.code == Code.REJECTED:
        return held
    age = wording.span(situation.now - situation.created_at)
    words = f"nothing has been authorised for it since it was added {age} ago"
    steps = (NextStep(command("status"), "see whether the worker runs"),)
    return Cause(Code.NOT_AUTHORISED, words, "", steps, "the worker does that as soon as `ispagents up` runs")
