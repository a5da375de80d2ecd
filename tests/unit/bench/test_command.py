"""`ispagents bench`: what is wrong with the arguments is said in one sentence, before anything is measured."""

import json

import pytest
from typer.testing import CliRunner

from bench import auth, billing, coa, command
from bench.targets import TARGETS


@pytest.fixture(autouse=True)
def _nothing_is_measured(monkeypatch):
    for bench in (auth, billing, coa):
        monkeypatch.setattr(bench, "run", lambda _quick: pytest.fail("a bench was started"))


@pytest.mark.parametrize("arguments", [["nonsense"], ["auth", "--fast"], ["coa", "--json"], ["auth", "extra"]])
def test_wrong_arguments_give_exit_code_2(arguments):
    """Whatever is wrong with them."""
    assert CliRunner().invoke(command.app, arguments).exit_code == 2


@pytest.mark.parametrize("name", ["auth", "billing", "coa"])
@pytest.mark.parametrize("path", ["missing/results.json", "."])
def test_a_file_that_cannot_be_written_is_said_before_measuring(tmp_path, name, path):
    """In one sentence that says what to do."""
    result = CliRunner().invoke(command.app, [name, "--json", str(tmp_path / path)])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "name another file with --json" in result.stderr


def test_looking_whether_a_file_can_be_written_leaves_it_as_it_is(tmp_path, monkeypatch):
    """A run that fails neither leaves an empty file nor empties the last results."""

    def fails(_quick):
        raise coa.CoaBenchError("lost")

    monkeypatch.setattr(coa, "run", fails)
    kept, new = tmp_path / "kept.json", tmp_path / "new.json"
    kept.write_text("last results")
    for path in (kept, new):
        assert CliRunner().invoke(command.app, ["coa", "--json", str(path)]).exit_code == 1
    assert kept.read_text() == "last results"
    assert not new.exists()


def test_results_are_written(tmp_path, monkeypatch):
    """One object, with the keys that have targets."""
    results = {target.key: 1.0 for target in TARGETS["coa"]}
    monkeypatch.setattr(coa, "run", lambda _quick: results)
    path = tmp_path / "results.json"
    assert CliRunner().invoke(command.app, ["coa", "--json", str(path), "--quick"]).exit_code == 0
    assert json.loads(path.read_text())["results"] == results
