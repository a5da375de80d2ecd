"""Webhooks of payment providers; each scheme is a plugin."""
