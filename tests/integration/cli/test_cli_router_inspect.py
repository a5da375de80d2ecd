"""`ispagents router inspect`: everything that a router in use holds, its oddities, and no password."""

from typing import Any

from used_router import API_PASSWORD, MAC, PASSWORD, fill, used_router

from simulators.routeros import RouterOs


def known(isp: Any, router: RouterOs, name: str = "hill") -> None:
    """The router with its API, as an operator adds it."""
    isp.ok(
        *("router", "add", name, "--address", "192.0.2.7", "--no-radius", "--api-user", "ispagents"),
        *("--api-password-stdin", "--api-security", "plain"),
        typed=API_PASSWORD.encode() + b"\n",
    )
    isp.ok("router", "api", "set", name, "--address", router.address, "--port", str(router.port))


def test_a_router_in_use_is_shown_as_it_is(isp: Any) -> None:
    """Plans from profiles and queues, customers of every kind, what is unusual; on the router nothing moves."""
    with used_router() as router:
        fill(router)
        known(isp, router)
        before = router.rows("/ppp/secret"), router.rows("/queue/simple")

        seen = isp.ok("router", "inspect", "hill", "--list", "paid")

        assert (router.rows("/ppp/secret"), router.rows("/queue/simple")) == before
        assert (seen["device"]["identity"], seen["device"]["version"]) == ("Hill", "7.16.1")
        plans = {one["plan"]: one["rate_limit"] for one in seen["plans"]}
        assert plans["gold"] == "10M/50M"
        assert plans["gold 5M/20M paid"] == "5M/20M"
        lines = {(one["method"], one["username"]): one for one in seen["services"]}
        assert lines["pppoe", "anna"]["comment"] == "Anna Kowalska, Lipowa 3"
        assert lines["pppoe", "no"]["queue"] == "queue of no"
        assert lines["static", "office"]["address"] == "10.6.0.9"
        assert (lines["dhcp", MAC]["server"], lines["dhcp", MAC]["plan"]) == ("lan", "2M/8M")
        assert lines["pppoe", r"caf\udce9"]["problems"] == ["Its name is not valid UTF-8."]
        assert "is disabled" in lines["pppoe", "off"]["problems"][0]
        odd = {one["kind"]: one["items"] for one in seen["unusual"]}
        assert "anna" in odd["local_beside_radius"]
        assert odd["open_api"] == ["port 8728"]
        assert len(odd) == len(seen["unusual"])
        assert odd["same_name"] == ["anna (/ip/hotspot/user, /ppp/secret)"]
        assert any("1234567" in one for one in odd["unreadable_rate"])
        assert odd["queue_of_many"] == ["village (10.7.0.0/24)"]
        assert set(odd["queue_without_secret"]) == {"office (10.6.0.9)", "odd (10.6.0.10)"}
        assert "no (10.5.0.7)" in odd["outside_pools"]
        assert {"not_utf8", "disabled", "no_comment"} <= set(odd)
        assert seen["style"] == {"ppp": "queue", "ppp_service": ""}
        kept = isp.ok("router", "inspect", "hill", "--store")["import"]
        assert isp.ok("router", "import-apply", str(kept))["services"] == 5
        said = isp("router", "inspect", "hill")
        assert "Anna Kowalska" in said.out
        for text in (said.out, str(seen)):
            assert PASSWORD not in text
            assert API_PASSWORD not in text


def test_an_old_router_and_a_user_who_may_see_little(isp: Any) -> None:
    """RouterOS 6, and a user to whom passwords are not shown: all of it is seen, and who needs a person is said."""
    groups = {"looks": "read,write,api,test"}
    with used_router(version="6.49.10", groups=groups, group="looks") as router:
        fill(router)
        known(isp, router)
        seen = isp.ok("router", "inspect", "hill")
        assert seen["device"]["version"] == "6.49.10"
        lines = {one["username"]: one for one in seen["services"] if one["method"] == "pppoe"}
        assert "`sensitive`" in lines["anna"]["problems"][0]
        rows = isp.ok("router", "import", "hill")["rows"]
        assert {one["username"] for one in rows if one["verdict"] == "new"} == {MAC, "office"}


def test_a_router_that_cannot_be_asked_is_one_sentence(isp: Any) -> None:
    """Unknown, without an API, or not there: what happened, and what to do."""
    assert "no router" in isp.refused("router", "inspect", "nowhere")
    with used_router() as router:
        known(isp, router)
    assert "127.0.0.1" in isp.refused("router", "inspect", "hill")
