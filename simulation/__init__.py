"""The whole life of a change in one process with virtual time: seeded, with every fault that the design names.

database   a real PostgreSQL whose clock is ours, emptied between seeds
world      the queue of what happens next, the chance, the clock, and transactions that may be lost
ledger     billing's truth, worked out naively a second time
billing    customers and the office: invoices, payments, holds, plans, closing
people     those who approve late, twice, or not at all, and who undo
worker     the worker, one transaction at a time; it may die between any two
line       packets to routers and back: lost, doubled, late
routers    routers with their sessions, honest and not
edges      replicas that lag, and accounting that is lost, doubled and late
customers  devices that dial, hang up and redial
plans      what the town sells
sagas      stories of things that go wrong together, each at its moment
town       all of them together
calm       faults off, everything delivered, nothing left to do
invariants what must be true then
run, many  one seed; and many of them, in several processes
"""
