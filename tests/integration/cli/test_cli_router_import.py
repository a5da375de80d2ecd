"""`ispagents router import`, `import-apply`, `import-undo`: what is shown, taken in once, and taken back."""

import csv
from pathlib import Path
from typing import Any

from test_cli_router_inspect import known
from used_router import MAC, PASSWORD, fill, used_router


def test_a_router_is_imported_and_taken_back(isp: Any, tmp_path: Path) -> None:
    """Each row new or with a reason; once; with a file of those that need a person; and back."""
    bad = tmp_path / "bad.csv"
    with used_router() as router:
        fill(router)
        known(isp, router)
        words = ("router", "import", "hill", "--list", "paid", "--price", "gold=12.50")
        read = isp.ok(*words, "--bad-rows", str(bad))
        rows = {(one["method"], one["username"]): one for one in read["rows"]}
        assert rows["pppoe", "anna"] == {
            "username": "anna",
            "method": "pppoe",
            "verdict": "new",
            "plan": "gold",
            "subscriber": "anna",
            "name": "Anna Kowalska, Lipowa 3",
            "reason": "",
        }
        new = {key for key, one in rows.items() if one["verdict"] == "new"}
        assert new == {("pppoe", "anna"), ("pppoe", "no"), ("hotspot", "guest"), ("dhcp", MAC), ("static", "office")}
        assert rows["hotspot", "anna"]["verdict"] == "conflicting"
        assert "cannot be read" in rows["static", "odd"]["reason"]
        assert "UTF-8" in rows["pppoe", r"caf\udce9"]["reason"]
        assert (read["new"], read["conflicting"], read["person"]) == (5, 1, 4)
        with bad.open(newline="") as opened:
            lines = list(csv.DictReader(opened))
        assert {one["name"] for one in lines} == {"anna", "off", "tunnel", "odd", r"caf\udce9"}
        assert isp.ok("service", "list")[0]["username"] == "zofia"
        assert "new" in isp(*words).out

        number = str(read["import"])
        done = isp.ok("router", "import-apply", number)
        assert (done["services"], done["subscribers"], done["refused"]) == (5, 5, 0)
        assert "applied already" in isp.refused("router", "import-apply", number)
        assert {one["username"] for one in isp.ok("service", "list")} == {"anna", "no", "guest", MAC, "office", "zofia"}
        assert isp.ok("plan", "show", "gold")["price_minor"] == 1250
        assert isp.ok("router", "api", "show", "hill")["style"] == {"ppp": "queue", "ppp_service": ""}
        again = {one["username"]: one for one in isp.ok(*words[:3])["rows"] if one["method"] == "pppoe"}
        assert again["anna"]["verdict"] == "conflicting"  # no worker has marked it yet

        back = isp.ok("router", "import-undo", number)
        assert back["services"] == 5
        assert "undone" in isp.refused("router", "import-undo", number)
        assert PASSWORD not in str([read, done, back])


def test_a_router_that_is_gone_keeps_its_services(isp: Any) -> None:
    """While our marks cannot be taken away nothing is closed, since closing would remove what carries them."""
    with used_router() as router:
        known(isp, router)
        number = str(isp.ok("router", "import", "hill")["import"])
        isp.ok("router", "import-apply", number)
    assert "127.0.0.1" in isp.refused("router", "import-undo", number)
    assert "closed" not in {one["standing"] for one in isp.ok("service", "list")}


def test_nonsense_is_one_sentence(isp: Any) -> None:
    """And nothing is stored."""
    with used_router() as router:
        known(isp, router)
        for words, said in (
            (("--plan", "gold"), "NAME=VALUE"),
            (("--plan", "gold=Nothing"), "no plan 'Nothing'"),
            (("--plan", "silver=Home 50"), "has no plan 'silver'"),
            (("--default-plan", "Nothing"), "no plan 'Nothing'"),
            (("--price", "gold=x"), "not an amount"),
            (("--price", "silver=1"), "No plan 'silver' would be made"),
            (("--subscriber", "K-77"), "no subscriber"),
            (("--only", "carrier pigeon"), "carrier pigeon"),
        ):
            assert said in isp.refused("router", "import", "hill", *words)
        assert "no import 1" in isp.refused("router", "import-apply", "1")


def test_choices_are_followed(isp: Any) -> None:
    """An existing plan for a found one, one customer for all, RADIUS instead of the router."""
    with used_router() as router:
        fill(router)
        known(isp, router)
        chosen = ("--plan", "gold=Home 50", "--subscriber", "K-1", "--no-adopt", "--only", "pppoe")
        read = isp.ok("router", "import", "hill", *chosen)
        assert (read["new_plans"].keys(), read["style"]) == ({"gold 5M/20M"}, None)
        assert isp.ok("router", "import-apply", str(read["import"]))["subscribers"] == 0
        lines = {one["username"]: one for one in isp.ok("service", "list")}
        assert (lines["anna"]["plan"], lines["anna"]["subscriber"]) == ("Home 50", "K-1")
        assert isp.ok("subscriber", "show", "K-1")["services"][0]["username"] == "anna"
        kept = isp.ok("router", "import", "hill", "--plan", "gold=Home 50", "--only", "pppoe")
        assert kept["rows"][0]["verdict"] == "conflicting"


def test_a_plan_that_would_change_the_router_needs_a_person(isp: Any) -> None:
    """A plan of another speed is no reason to write something else there, unless somebody says so."""
    with used_router() as router:
        known(isp, router)
        words = ("router", "import", "hill", "--plan", "gold=Home 50")
        (row,) = isp.ok(*words)["rows"]
        assert row["verdict"] == "needs a person"
        assert "profile of the PPP secret 'anna' from 'gold' to 'ispagents-10M-50M-online'" in row["reason"]
        assert isp.ok(*words, "--accept-changes")["new"] == 1
