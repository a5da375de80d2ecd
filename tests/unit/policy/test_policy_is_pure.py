"""What `policy` and `radius_module` may import."""

import ast
import sys
from pathlib import Path

import pytest

import policy
import radius_module

ALLOWED = {"policy": {"policy"}, "radius_module": {"policy", "radius_module", "radiusd"}}
# Time is an argument, and nothing here waits, guesses, talks or listens.
IMPURE = {"asyncio", "logging", "os", "random", "secrets", "select", "socket", "subprocess", "threading", "time"}
# (`.time()` of a moment is its hour; the module of that name cannot be imported.)
CLOCKS = {"now", "utcnow", "today", "monotonic", "localtime", "gmtime", "urandom", "getenv", "open", "print"}


def files(package):
    """Every module of a package."""
    return sorted(Path(package.__path__[0]).rglob("*.py"))


def imported(path):
    """The top names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module.partition(".")[0])
    return names


def called(path):
    """The names of everything that a file calls as a function or on an imported class or module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield f".{node.func.attr}"


@pytest.mark.parametrize("package", [policy, radius_module], ids=lambda package: package.__name__)
def test_only_the_standard_library_is_imported(package):
    """So that it loads in any FreeRADIUS, and no C extension can crash the server."""
    for path in files(package):
        assert imported(path) <= sys.stdlib_module_names | ALLOWED[package.__name__], path


def test_policy_imports_nothing_that_acts():
    """No sockets, clocks, threads, randomness or logging."""
    for path in files(policy):
        assert not imported(path) & IMPURE, path


def test_policy_never_asks_for_the_time():
    """`now` is an argument everywhere."""
    for path in files(policy):
        names = set(called(path))
        assert not {f".{name}" for name in CLOCKS} & names, path
        assert not {"open", "print", "__import__", "exec", "eval"} & names, path


def test_only_entry_knows_freeradius():
    """Everything else can be tested without a server."""
    assert [path.name for path in files(radius_module) if "radiusd" in imported(path)] == ["entry.py"]
