"""The scripted router of the connector's own tests: some diagnoses need replies that no simulator gives."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "network" / "coa"))
