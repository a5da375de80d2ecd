"""The sign-in form: Flask-Security's, with a login name, and one sentence for every refusal."""

from __future__ import annotations

from typing import Any

from flask import current_app
from flask_security import LoginForm
from wtforms import PasswordField, StringField
from wtforms.validators import DataRequired, Length

from web.sign_in.passwords import PASSWORD_MAXIMUM_LETTERS

REFUSED = "The name or the password is wrong, or there were too many tries: then wait 15 minutes."


class SignInForm(LoginForm):
    """Name and password. It never says which of the two was wrong, nor whether somebody is locked or disabled."""

    email = None
    remember = None
    login = StringField("Name", [DataRequired("Write your login name."), Length(max=200)])
    password = PasswordField("Password", [DataRequired("Write your password."), Length(max=PASSWORD_MAXIMUM_LETTERS)])

    def validate(self, **kwargs: Any) -> bool:
        """Whether this is a person who may sign in now; a wrong password is counted."""
        store = current_app.extensions["security"].datastore
        found = store.find_user(login=self.login.data or "")
        self.ifield = self.login
        # A locked person is treated as an unknown one, so that guessing on learns nothing.
        self.user = None if found is None or found.is_locked_now() else found
        if super().validate(**kwargs):
            return True
        if not self.login.data or not self.password.data:
            return False
        self.login.errors, self.password.errors = [], []
        self.form_errors = [REFUSED]
        return False
