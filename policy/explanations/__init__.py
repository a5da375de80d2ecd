"""One catalogue of what can go wrong on the way to the network: from a cause word to what happened, why, and what next.

`causes` has the words of this program, `refusals` the Error-Cause numbers of routers, `network` the system's errors.
Evidence keeps the cause and the sentence of its time; whoever shows a cause asks `explain` for the rest.
"""

from policy.explanations.explaining import Explanation, explain, is_known

__all__ = ["Explanation", "explain", "is_known"]
