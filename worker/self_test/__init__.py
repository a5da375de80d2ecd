"""The router self-test: harmless requests that tell apart why a router does not take what it is sent.

`place` is what is known of the router; `probes` sends one request and says what it means; `examining` chooses which
to send; `conclusion` is pure and turns what came back into one sentence; `address_list` tries an ability on a live
session.
"""
