"""Fixtures of the pages: the application with an empty database, and an operator."""

import secrets

import pytest
from fixtures_database import Database, Isp
from web_site import PASSWORD, Site

from sql.roles import Role
from web.app import create_app
from web.settings import WebSettings
from web.sign_in.passwords import hashed


@pytest.fixture
def site(database: Database) -> Site:
    """The application with an empty database."""
    engine = database.engine(Role.WEB)
    app = create_app(engine, WebSettings([secrets.token_hex(32)], sign_ins_a_minute=1000))
    return Site(app, database, hashed(PASSWORD, engine))


@pytest.fixture
def isp(site: Site) -> Isp:
    """An operator on the site."""
    return site.database.isp("Wave")
