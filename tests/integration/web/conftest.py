"""Fixtures of the pages: the application with an empty database, and an operator."""

import secrets

import pytest
from database_server import TEMPLATE, DatabaseServer
from fixtures_database import BOX, Database, Isp
from web_site import PASSWORD, Site

from sql.roles import Role
from web.app import create_app
from web.settings import WebSettings
from web.sign_in.passwords import hashed


@pytest.fixture(scope="session")
def password_hash(database_server: DatabaseServer) -> str:
    """The hash of `PASSWORD`, once for all tests: it is slow on purpose."""
    return hashed(PASSWORD, database_server.databases(TEMPLATE).engine(Role.WEB))  # which nothing is asked of


@pytest.fixture
def site(database: Database, password_hash: str) -> Site:
    """The application with an empty database."""
    settings = WebSettings([secrets.token_hex(32)], sign_ins_a_minute=1000, provider_box=BOX)
    app = create_app(database.engine(Role.WEB), settings)
    return Site(app, database, password_hash)


@pytest.fixture
def isp(site: Site) -> Isp:
    """An operator on the site."""
    return site.database.isp("Wave")
