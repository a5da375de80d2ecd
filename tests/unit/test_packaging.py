"""The folders of this project are import packages of their own; nothing else on the machine may own their names."""

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]


def packages() -> list[str]:
    """The packages that the distribution ships."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return list(settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_no_other_distribution_owns_our_folder_names() -> None:
    """Installing this project beside others shadows none of their packages, and none of theirs shadows ours."""
    owners = packages_distributions()
    for name in packages():
        assert set(owners.get(name, [])) <= {"ispagents"}, name


def test_every_package_folder_is_shipped() -> None:
    """A new top-level package cannot be forgotten in pyproject.toml."""
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert folders == set(packages())
