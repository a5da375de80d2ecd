"""Loaded by FreeRADIUS (rlm_python3): answers logins from the local replica, never from the network.

Standard library and `policy` only, so that it loads in any FreeRADIUS with Python 3.11 or newer. rlm_python3 runs one
call at a time, so a call must stay within microseconds: no sockets, no waits. `entry` holds the hooks.
"""
