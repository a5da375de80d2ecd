"""Signing in and out: who gets in, for how long, and what a cookie is worth afterwards."""

import secrets
from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import pytest
from fixtures_database import ACTOR, Database, Isp
from web_site import PASSWORD, Site, token_in

from sql import people
from sql.models import AuditEvent
from sql.people import FAILURES_MAXIMUM, PersonRole
from sql.roles import Role
from web.app import create_app
from web.guard import LONGEST_SESSION_S
from web.settings import WebSettings
from web.sign_in.forms import REFUSED


def test_a_sign_in_is_noted_and_its_cookie_is_closed_to_scripts(site: Site, isp: Isp) -> None:
    """The cookie is HttpOnly and SameSite=Lax; the truth knows when; any letters' case of the name will do."""
    site.person(isp, "anna")
    visitor = site.visitor()
    answer = visitor.sign_in("ANNA")
    assert answer.status_code == 302
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert "Secure" not in answer.headers["Set-Cookie"]
    assert "anna" in visitor.get("/")
    with isp.web() as session:
        assert people.person_named(session, isp.operator_id, "anna").last_login_at is not None
    assert _events(isp) == ["person:account:add", "person:session:begin"]


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("anna", "wrong password"),
        ("nobody", PASSWORD),
        ("anna' OR 1=1 --", PASSWORD),
        ("\u202eanna", "x"),
        ("anna", "x\0"),
    ],
)
def test_every_refusal_sounds_the_same(site: Site, isp: Isp, login: str, password: str) -> None:
    """A wrong password and an unknown name cannot be told apart."""
    site.person(isp, "anna")
    answer = site.visitor().sign_in(login, password)
    assert answer.status_code == 200
    assert REFUSED in answer.text


@pytest.mark.parametrize(("login", "password"), [("", PASSWORD), ("anna", ""), ("", "")])
def test_an_empty_field_says_what_to_write(site: Site, isp: Isp, login: str, password: str) -> None:
    """Each empty field has a sentence of its own, and nothing is counted."""
    site.person(isp, "anna")
    answer = site.visitor().sign_in(login, password)
    assert answer.status_code == 200
    assert "Write your " in answer.text
    with isp.web() as session:
        assert people.person_named(session, isp.operator_id, "anna").failed_count == 0


def test_a_disabled_person_stays_out_and_is_put_out(site: Site, isp: Isp) -> None:
    """Disabling ends the open session at the next page, and the password no longer opens."""
    site.person(isp, "anna")
    visitor = site.signed_in("anna")
    with isp.web() as session:
        people.set_active(session, people.person_named(session, isp.operator_id, "anna"), active=False, actor=ACTOR)
    assert visitor.client.get("/").status_code == 303
    assert REFUSED in site.visitor().sign_in("anna").text


def test_wrong_passwords_lock_and_time_opens(site: Site, isp: Isp, database: Database) -> None:
    """After the limit the right password is refused too; when the lock has ended it opens and the count is gone."""
    site.person(isp, "anna")
    for _ in range(FAILURES_MAXIMUM):
        assert REFUSED in site.visitor().sign_in("anna", "wrong password").text
    assert REFUSED in site.visitor().sign_in("anna").text
    assert _events(isp)[-1] == "person:account:lock"
    with database.as_superuser() as connection:
        connection.execute("UPDATE people SET locked_until = now() - interval '1 second'")
    site.signed_in("anna")
    with isp.web() as session:
        person = people.person_named(session, isp.operator_id, "anna")
        assert (person.failed_count, person.locked_until) == (0, None)


def test_one_address_has_so_many_tries_a_minute(database: Database, isp: Isp, site: Site) -> None:
    """The limit counts every try, whoever is named, and answers 429 with a sentence."""
    app = create_app(database.engine(Role.WEB), WebSettings([secrets.token_hex(32)], sign_ins_a_minute=3))
    visitor = Site(app, database, site.password_hash).visitor()
    codes = [visitor.sign_in(f"person{number}", "wrong password").status_code for number in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert "Too many tries" in visitor.sign_in("anna").text
    assert visitor.client.get("/sign-in").status_code == 200


def test_signing_out_ends_every_copy_of_the_cookie(site: Site, isp: Isp) -> None:
    """A cookie that was copied before the sign-out opens nothing after it."""
    site.person(isp, "anna")
    visitor = site.signed_in("anna")
    copied = visitor.client.get_cookie("ispagents")
    assert copied is not None
    visitor.post("/sign-out")
    thief = site.visitor()
    thief.client.set_cookie("ispagents", copied.value)
    assert thief.client.get("/").status_code == 303
    assert _events(isp)[-1] == "person:session:end"


def test_signing_out_needs_the_form(site: Site, isp: Isp) -> None:
    """Neither a link nor another site's form signs anybody out."""
    site.person(isp, "anna")
    visitor = site.signed_in("anna")
    assert visitor.client.get("/sign-out").status_code == 405
    assert visitor.client.post("/sign-out").status_code == 400
    visitor.get("/")


def test_a_session_ends_after_half_a_day(site: Site, isp: Isp) -> None:
    """However busy somebody is, the password is asked again."""
    site.person(isp, "anna")
    visitor = site.signed_in("anna")
    with visitor.client.session_transaction() as stored:
        stored["fs_paa"] = stored["fs_paa"] - LONGEST_SESSION_S - 1
    assert visitor.client.get("/").status_code == 303
    assert visitor.client.get("/").status_code == 303


def test_an_idle_session_ends(site: Site, isp: Isp) -> None:
    """A cookie older than the idle time is not believed; each page makes a new one."""
    site.person(isp, "anna")
    visitor = site.signed_in("anna")
    assert "Set-Cookie" in visitor.client.get("/").headers
    site.app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(seconds=-1)
    assert visitor.client.get("/").status_code == 303


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "\\\\evil.example", "/\\evil.example"])
def test_a_sign_in_leads_to_no_other_site(site: Site, isp: Isp, wanted: str) -> None:
    """The page that was wanted is one of ours."""
    site.person(isp, "anna")
    visitor = site.visitor()
    answer = visitor.post("/sign-in", "/sign-in", login="anna", password=PASSWORD, next=wanted)
    leads_to = urlsplit(urljoin("http://localhost/sign-in", answer.headers.get("Location", "")))
    assert leads_to.netloc == "localhost"
    assert "\\" not in leads_to.path  # browsers read it as a slash


def test_behind_tls_cookies_are_secure_and_the_proxy_is_believed(database: Database, isp: Isp, site: Site) -> None:
    """The cookie is Secure with the __Host- prefix, HSTS is set, and the address in the audit is the visitor's."""
    app = create_app(database.engine(Role.WEB), WebSettings([secrets.token_hex(32)], behind_tls=True))
    tls = Site(app, database, site.password_hash)
    tls.person(isp, "anna")
    visitor = tls.visitor()
    visitor.client.environ_base.update(
        {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_FOR": "203.0.113.7", "HTTP_REFERER": "https://localhost/"}
    )
    answer = visitor.client.get("/sign-in", base_url="https://localhost")
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    assert answer.headers["Set-Cookie"].startswith("__Host-ispagents=")
    assert "; Secure" in answer.headers["Set-Cookie"]
    values = {"csrf_token": token_in(answer.text), "login": "anna", "password": PASSWORD}
    assert visitor.client.post("/sign-in", base_url="https://localhost", data=values).status_code == 302
    with isp.web() as session:
        event = session.query(AuditEvent).order_by(AuditEvent.id.desc()).first()
        assert event is not None
        assert event.data == {"address": "203.0.113.7"}


def test_a_role_that_was_taken_away_is_gone_at_the_next_page(site: Site, isp: Isp) -> None:
    """Roles are read with every page."""
    site.person(isp, "anna", PersonRole.AUDITOR)
    visitor = site.signed_in("anna")
    visitor.get("/audit")
    with isp.web() as session:
        people.set_roles(
            session, people.person_named(session, isp.operator_id, "anna"), [PersonRole.SUPPORT], actor=ACTOR
        )
    visitor.get("/audit", 403)


def test_no_secret_of_a_person_reaches_a_page_or_the_audit(site: Site, isp: Isp) -> None:
    """Hash and session token are on no page and in no event."""
    site.person(isp, "anna")
    visitor = site.signed_in("anna")
    with isp.web() as session:
        person = people.person_named(session, isp.operator_id, "anna")
    pages = [visitor.get(address) for address in ("/", "/changes", "/customers", "/audit")]
    assert not any(secret in page for page in pages for secret in (person.password, person.fs_uniquifier, PASSWORD))


def _events(isp: Isp) -> list[str]:
    with isp.web() as session:
        events = session.query(AuditEvent).filter(AuditEvent.event.startswith("person:")).order_by(AuditEvent.id)
        return [event.event for event in events]
