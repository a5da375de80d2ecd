"""The API for programs: payments, and standings from another billing system."""
