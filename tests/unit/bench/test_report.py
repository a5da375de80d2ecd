"""Verdicts, and the JSON that other programs read."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from bench import report
from bench.targets import TARGETS


@pytest.mark.parametrize(
    ("key", "value", "verdict"),
    [
        ("throughput_vs_files", 0.59, "missed"),
        ("throughput_vs_files", 0.6, "must"),
        ("throughput_vs_files", 0.9, "aim"),
        ("p99_ms", 10.1, "missed"),
        ("p99_ms", 10, "must"),
        ("p99_ms", 5, "aim"),
        ("p99_ms", None, "-"),
    ],
)
def test_verdict(key: str, value: float | None, verdict: str) -> None:
    """More is better for rates, less for times; a limit itself still holds."""
    assert next(target for target in TARGETS["auth"] if target.key == key).verdict(value) == verdict


def test_the_file_holds_bench_date_machine_and_results(tmp_path: Path) -> None:
    """What was not measured is null, never missing."""
    report.write("auth", {"p99_ms": None, "throughput_vs_files": 0.7}, tmp_path / "auth.json")
    written = json.loads((tmp_path / "auth.json").read_text())
    assert set(written) == {"bench", "date", "machine", "results"}
    assert written["results"] == {"p99_ms": None, "throughput_vs_files": 0.7}


def test_the_table_shows_targets_and_servers() -> None:
    """Absolute figures stand beside the ratios."""
    out = io.StringIO()
    servers = {"files": {"threads": 2, "logins_per_s": 41234}}
    report.show("auth", {"throughput_vs_files": 0.7, "servers": servers}, Console(file=out, width=160))
    assert "41,234" in out.getvalue()
    assert "not measured" in out.getvalue()
