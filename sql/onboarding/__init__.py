"""Customers who are there before us: those of routers in use, and those of files; seen first, taken in afterwards."""
