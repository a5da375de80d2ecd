"""The real application on a database of the test's own: in this process, and served for a browser."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser

from fixtures_database import ACTOR, Database, Isp
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sql import people
from sql.people import PersonRole

PASSWORD = "correct horse battery staple"


@dataclass
class Site:
    """The application, and short words for who uses it."""

    app: Flask
    database: Database
    password_hash: str

    def person(self, isp: Isp, login: str, *roles: PersonRole) -> str:
        """A new person with `PASSWORD`."""
        with isp.web() as session:
            people.add_person(
                session,
                isp.operator_id,
                login=login,
                password_hash=self.password_hash,
                roles=list(roles) or [PersonRole.OWNER],
                actor=ACTOR,
            )
        return login

    def visitor(self) -> "Visitor":
        """A browser without JavaScript that nobody has signed in with."""
        return Visitor(self.app.test_client())

    def signed_in(self, login: str) -> "Visitor":
        """A browser that somebody has signed in with."""
        visitor = self.visitor()
        answer = visitor.sign_in(login)
        assert answer.status_code == 302, answer.text
        return visitor


class _Token(HTMLParser):
    found = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pairs = dict(attrs)
        if tag == "input" and pairs.get("name") == "csrf_token":
            self.found = pairs.get("value") or ""


def token_in(page: str) -> str:
    """The CSRF token of a page's form."""
    parser = _Token()
    parser.feed(page)
    return parser.found


@dataclass
class Visitor:
    """Opens pages and sends their forms."""

    client: FlaskClient

    def get(self, address: str, code: int = 200) -> str:
        """The text of a page, which must have this status."""
        answer = self.client.get(address)
        assert answer.status_code == code, (address, answer.status_code, answer.text)
        return answer.text

    def token(self, address: str = "/") -> str:
        """The CSRF token of a page."""
        return token_in(self.client.get(address, follow_redirects=True).text)

    def post(self, address: str, page: str = "/", **values: str) -> TestResponse:
        """Send a form with the token of a page."""
        return self.client.post(address, data={"csrf_token": self.token(page), **values})

    def sign_in(self, login: str, password: str = PASSWORD) -> TestResponse:
        """Send the sign-in form."""
        return self.post("/sign-in", "/sign-in", login=login, password=password)


def seen_hash(page: str) -> str:
    """The preview's hash in a page's form."""
    match = re.search(r'name="seen_hash" type="hidden" value="([0-9a-f]{64})"', page)
    assert match is not None, page
    return match[1]
