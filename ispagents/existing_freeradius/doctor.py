"""Examines a set-up: what its files say and what the machine says, in plain words, the worst first."""

from __future__ import annotations

from typing import Final

from ispagents.existing_freeradius import doctor_files, doctor_machine
from ispagents.existing_freeradius.findings import Finding, Weight
from ispagents.existing_freeradius.joining import Ours
from ispagents.existing_freeradius.layout import Existing
from ispagents.settings import Settings

_ORDER: Final = tuple(Weight)


def examine(existing: Existing, site: str, ours: Ours, settings: Settings) -> list[Finding]:
    """Every finding. Raises Problem where there is no such virtual server."""
    server = existing.server(site)
    manifest = ours.backup.manifest()
    joined = manifest is not None and manifest.raddb == str(existing.raddb)
    found = [
        *doctor_files.examine(existing, server, joined=joined),
        *doctor_machine.examine(existing, ours, settings, site, joined=joined),
    ]
    return sorted(found, key=lambda one: _ORDER.index(one.weight))


def is_well(findings: list[Finding]) -> bool:
    """Whether nothing is wrong; what is unwise does not count."""
    return not any(one.weight is Weight.WRONG for one in findings)
