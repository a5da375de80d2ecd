"""What the tests of the CoA connector share."""

from pathlib import Path

import pytest
from pyrad.dictionary import Dictionary

import network.coa


@pytest.fixture(scope="session")
def dictionary():
    """pyrad's own reading of the dictionary that ships with the connector."""
    return Dictionary(str(Path(network.coa.__file__).with_name("dictionary") / "dictionary"))
