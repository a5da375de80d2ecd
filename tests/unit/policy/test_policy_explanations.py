"""The catalogue of explanations: complete, for every cause that the code can store, and readable."""

import ast
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.coa.error_causes import ErrorCause
from network.routeros.errors import RouterosError
from policy.explanations import explain, is_known
from policy.explanations.causes import CAUSES
from policy.explanations.network import NETWORK
from policy.explanations.refusals import REFUSALS
from policy.explanations.routeros import API

ROOT = Path(__file__).parents[3]
SOURCES = [
    ROOT / "network" / "coa" / "verbs.py",
    *sorted((ROOT / "network" / "routeros").rglob("*.py")),
    *sorted((ROOT / "worker").rglob("*.py")),
]
OUTCOMES = {"Outcome", "Answer"}
# Words of the design that are shown as a cause though no evidence row has them.
ALARMS = {"unverified", "writes_stopped", "left_alone"}


def parameters(tree):
    """Of each function that takes a `cause`: its name, and the place of that."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [one.arg for one in node.args.args]
            if "cause" in names:
                yield node.name, names.index("cause")


def texts(node):
    """The texts that an expression may be, with `1` for what is filled in; none where it is computed elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.JoinedStr):
        return {"".join(part.value if isinstance(part, ast.Constant) else "1" for part in node.values)}
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    return set()


def emitted(path):
    """Every cause that a file can store: given to a parameter or field of that name, or beside an outcome."""
    tree = ast.parse(path.read_text())
    takers = dict(parameters(tree))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in takers and len(node.args) > takers[name]:
                found |= texts(node.args[takers[name]])
            for keyword in node.keywords:
                if keyword.arg == "cause":
                    found |= texts(keyword.value)
        elif isinstance(node, ast.Tuple) and len(node.elts) > 1:
            first = node.elts[0]
            if isinstance(first, ast.Attribute) and isinstance(first.value, ast.Name) and first.value.id in OUTCOMES:
                found |= texts(node.elts[1])
    return found


def all_emitted():
    return set().union(*(emitted(path) for path in SOURCES)) | {one.cause for one in errors(RouterosError)}


def errors(kind):
    """An error of the API's connector, and all below it; each has its cause in its class."""
    return {kind}.union(*(errors(one) for one in kind.__subclasses__()))


def test_the_search_finds_what_is_there():
    """It sees each way in which the code names a cause, so that the next test cannot pass by blindness."""
    assert {
        "acknowledged",
        "error_cause:1",
        "timeout",
        "malformed_replies",
        "network:1",
        "not_changeable:1",
        "secret_unusable",
        "edge_behind",
        "already_offline",
    } <= all_emitted()


def test_every_cause_of_the_code_is_explained():
    """A new cause in the connector or the worker needs an entry here."""
    assert {cause for cause in all_emitted() if not is_known(cause)} == set()


def test_the_catalogue_has_no_dead_entries():
    """What nobody can store is not explained."""
    assert (set(CAUSES) | set(API)) - ALARMS <= all_emitted()
    assert set(REFUSALS) == {int(one) for one in ErrorCause}


@pytest.mark.parametrize(
    "cause",
    [
        *CAUSES,
        *API,
        "unknown:timeout",
        *(f"error_cause:{number}" for number in REFUSALS),
        *(f"network:{name}" for name in NETWORK),
        "error_cause:499",
        "network:EXDEV",
        "not_changeable:Framed-IP-Address",
        "something new",
    ],
)
def test_an_explanation_is_sentences(cause):
    """Capital letter, full stop, nothing left to fill in; the likely reason is never the same as what happened."""
    found = explain(cause)
    for part in (found.happened, found.likely, *([found.next_step] if found.next_step else [])):
        assert part[0].isupper() or part.startswith("`"), part
        assert part.endswith("."), part
        assert "{" not in part, part
    assert found.happened != found.likely
    assert found.text.count("  ") == 0


def test_context_names_the_router():
    """With a name the sentences say it as it was given, without one they say "the router"."""
    assert explain("timeout", where="10.1.1.1 port 3799").happened == "No answer came from 10.1.1.1 port 3799."
    assert explain("no_error_cause", router="tower").happened == "tower refused and did not say why."
    assert explain("no_error_cause").happened == "The router refused and did not say why."
    assert "Framed-Pool" in explain("not_changeable:Framed-Pool").happened


@given(st.text(alphabet=string.printable + "{}ł٣", max_size=40), st.text(max_size=20))
def test_anything_is_explained(cause, name):
    """No text of a cause or a name, braces and foreign digits included, can break it."""
    for prefix in ("", "error_cause:", "network:", "not_changeable:"):
        found = explain(prefix + cause, router=name)
        assert found.happened
        assert found.cause == prefix + cause
