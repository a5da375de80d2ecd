"""What access a service should have, and how to get from what is to what should be.

Pure: no sockets, clocks, sessions, randomness or logging; `now` is an argument. Imports the standard library alone,
because FreeRADIUS loads it too. Start reading at `policy.access.decide`.
"""
