"""Beside every FreeRADIUS: follows the truth into the local replica, and drains the spool back into PostgreSQL.

`follower` keeps the replica (`replica_writer`); `ingester` takes in what FreeRADIUS wrote (`detail_file`, `records`).
"""
