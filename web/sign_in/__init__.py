"""Signing in and out, by Flask-Security."""
