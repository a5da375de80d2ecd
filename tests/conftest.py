"""Fixtures that every test may use."""

pytest_plugins = ["fixtures_postgres", "fixtures_database"]
