"""What a person sends about a change."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, TextAreaField
from wtforms.validators import Length, Regexp

NOTE_MAXIMUM_LETTERS = 500


class ApproveForm(FlaskForm):  # type: ignore[misc] # Flask-WTF ships no types
    """The preview that was on the page, by its hash."""

    seen_hash = HiddenField(validators=[Regexp("^[0-9a-f]{64}$")])


class RejectForm(FlaskForm):  # type: ignore[misc] # as above
    """Why not, for whoever reads it later."""

    note = TextAreaField("Why not", validators=[Length(max=NOTE_MAXIMUM_LETTERS)])
