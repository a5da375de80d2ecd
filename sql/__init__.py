"""The truth in PostgreSQL: models, migrations and every query. A file is a subject."""
