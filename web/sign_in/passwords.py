"""Password hashes, made by Flask-Security's own means (Argon2id), for the pages and for the command line."""

from __future__ import annotations

from secrets import token_hex
from typing import Any, Final

from flask import Flask
from flask_security import Security, hash_password
from sqlalchemy import Engine

from sql.errors import Refused
from web.sign_in.store import PeopleStore

PASSWORD_MINIMUM_LETTERS: Final = 12  # ASVS 2.1.1
PASSWORD_MAXIMUM_LETTERS: Final = 128  # ASVS 2.1.2; longer ones only cost time

# Argon2 salts by itself and has no limit of length that a second hash would have to hide.
HASHING: Final[dict[str, Any]] = {
    "SECURITY_PASSWORD_HASH": "argon2",
    "SECURITY_PASSWORD_SCHEMES": ["argon2"],
    "SECURITY_DEPRECATED_PASSWORD_SCHEMES": [],
    "SECURITY_PASSWORD_SINGLE_HASH": True,
    "SECURITY_PASSWORD_NORMALIZE_FORM": "NFKD",
}


def checked_password(password: str, login: str) -> str:
    """The password. Raises Refused for one that is too short, too long, or made of the login name."""
    if not PASSWORD_MINIMUM_LETTERS <= len(password) <= PASSWORD_MAXIMUM_LETTERS:
        raise Refused(
            f"A password has {PASSWORD_MINIMUM_LETTERS} to {PASSWORD_MAXIMUM_LETTERS} letters; "
            "four words that have nothing to do with each other are a good one."
        )
    if login in password.lower() or len(set(password)) < PASSWORD_MINIMUM_LETTERS // 3:
        raise Refused("The password is too easy to guess: leave the login name out and repeat less.")
    return password


def hashed(password: str, engine: Engine) -> str:
    """The hash that a sign-in compares with; for programs that serve no pages."""
    app = Flask("passwords")
    app.config.update(HASHING, SECRET_KEY=token_hex(32))  # signs nothing here, but must be there
    security = Security(app, PeopleStore(engine), register_blueprint=False)
    with app.app_context():
        return str(hash_password(security.password_util.normalize(password)))
