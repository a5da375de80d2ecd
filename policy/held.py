"""What a customer has whose service a router's own configuration holds: as it was read back, or why not yet."""

from __future__ import annotations

from policy import wording
from policy.access import Access
from policy.cause import Cause, Code, NextStep
from policy.online import heal_all, out_of_line
from policy.situation import Drifted, HeldLine, Situation
from policy.wording import command


def not_in_line(situation: Situation, held: HeldLine) -> list[Cause]:
    """Why the router does not hold what is authorised: it cannot, or the step that is on its way, or in the way."""
    if not held.problem:
        return out_of_line(situation, held)
    router = wording.short(held.router.name)
    style = NextStep(command("router api show", held.router.name), "see how things are done on this router")
    show = NextStep(command("service show", situation.username), "see what is known of the service")
    words = f"{router} cannot hold the service: {wording.clause(held.problem)}"
    return [Cause(Code.CANNOT_HOLD, words, held.evidence, (show, style))]


def drifted(held: HeldLine, found: Drifted) -> Cause:
    """What somebody changed on the router behind our back, as it was seen when it was compared last."""
    show = NextStep(command(f"drift show {found.number}"), "see what is not as it should be, and what would mend it")
    one = NextStep(command(f"drift fix {found.number}"), "have it written anew, now")
    every = NextStep(command("drift fix", options=heal_all(held.router.name)), "or all that this router should hold")
    mend = (one, every) if found.heals else ()
    words = wording.clause(found.cause) or "what stands there is not as it should be"
    return Cause(Code.DRIFT, words, f"finding {found.number}", (show, *mend))


def without_garden(held: HeldLine, access: Access) -> Cause | None:
    """Why a restricted customer may be in no walled garden there; None where the rules stand, as far as is known."""
    router = wording.short(held.router.name)
    lists = " and ".join(wording.short(one) for one in access.address_lists) or "this"
    if held.garden_list not in access.address_lists:
        look = NextStep(command("router garden", held.router.name, "--preview"), "see which rules it would get")
        words = f"{router} has no walled garden of ours for {lists}, so what that list means is up to the rules there"
        return Cause(Code.NO_GARDEN, words, held.evidence, (look,))
    if held.garden_drift is not None:
        fix = NextStep(command(f"drift fix {held.garden_drift}"), "put the walled garden's rules back")
        words = f"the walled garden's rules on {router} were not as they should be when it was compared last"
        return Cause(Code.NO_GARDEN, words, f"finding {held.garden_drift}", (fix,))
    return None


def where(situation: Situation, held: HeldLine) -> str:
    """Where and when it was seen, as the end of a sentence."""
    router = wording.short(held.router.name)
    seen = f"on {router}"
    if held.observed_at is not None:
        seen += f", read back {wording.span(situation.now - held.observed_at)} ago"
    if held.router.down_since is not None:
        seen += f" and not answering for {wording.span(situation.now - held.router.down_since)}"
    return seen
