"""Batches: changes of one kind and day that wait, looked at and decided together."""
