"""RouterOS over its API: read what a router has, change it with evidence, and take back only what is still ours.

Map: `verbs` (observe, apply), `undoing` and `health` are what the worker calls; `keeper` keeps one connection for each
router; `connection` opens one (TLS, login) over `link` (tags, window, limits); `words` is pure bytes and the one file
that knows librouteros; `traps` says what a router's refusal means.
"""
