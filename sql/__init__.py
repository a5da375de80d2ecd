"""The truth in PostgreSQL: models, migrations and every query. A file in `models/` is a subject; so is one beside it."""
