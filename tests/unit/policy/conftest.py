"""How the property tests of `policy` run."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure, and a failing run prints how to repeat it.
settings.register_profile("ispagents", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("ispagents")
