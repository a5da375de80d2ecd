"""The one base of this package's errors: a value that cannot mean what it was meant to mean."""


class PolicyError(ValueError):
    """A rule or value is wrong; the text says what is wrong and what would be right. Trying again cannot help."""
