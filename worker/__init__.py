"""The only process that touches a router: reviews the truth, plans and sends steps, stores what came of them.

`jobs` wires Procrastinate; `planning` turns reviews into changes; `enforce` works a router; `outcomes` judges answers;
`watch` finds proofs that did not come, and drift.
"""
