"""Accounting in rooms: what a batch says of each session, raw records, and ends that nobody reported."""
