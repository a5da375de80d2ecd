"""Customers: finding a line, and its story."""
