"""`ispagents subscriber import`: customers from a file, each new, same, conflicting or bad, taken in once."""

import csv
from pathlib import Path
from typing import Any

from fixtures_database import Database

PASSWORD = "made-up; of łódź"
HEAD = "Customer number;Full name;Email;Tariff;Login;Password;Type;Fixed IP;MAC\n"
FILE = (
    HEAD
    + f"""K-1;Zofia Kowalska;zofia@example.org;Home 50;zofia;x;;;
K-2;Anna Łódź;anna@example.org;Home 50;no;"{PASSWORD}";pppoe;10.5.0.7;aa-bb-cc-dd-ee-ff
K-2;Anna Łódź;anna@example.org;Home 50;0123;"{PASSWORD}";;;
K-3;Bert;;;;;;;
K-4;Cleo;;Home 50;02:00:00:00:00:01;;dhcp;;
K-5;Dora;;Home 50;dora;;;;
K-6;Emil;;Home 99;emil;x;;;
K-7;Fred;;Home 50;no;x;;;
K-1;Somebody Else;;Home 50;other;x;;;
K-8;Gerd;;Home 50;gerd;x;;10.5.0.7;
K-9;Hans;;Home 50;zofia;x;;;
;Nobody;;Home 50;nobody;x;;;
K-10;Ina;;Home 50;ina;x;smoke;;
"""
)


def test_a_file_of_customers_is_read_then_taken_in(isp: Any, tmp_path: Path, database: Database) -> None:
    """Good rows come in, the others are listed with reasons and written to be fixed; no password is stored in clear."""
    file, bad = tmp_path / "customers.csv", tmp_path / "bad.csv"
    file.write_text(FILE)
    read = isp.ok("subscriber", "import", str(file), "--bad-rows", str(bad))
    assert (read["new"], read["same"], read["conflicting"], read["bad"]) == (4, 1, 3, 5)
    assert read["new_subscribers"] == 3
    problems = {one["line"]: one["problem"] for one in read["problems"]}
    for line, said in {
        7: "needs a password",
        8: "no plan 'Home 99'",
        9: "Line 3 has the same user name",
        10: "is there with name 'Zofia Kowalska'",
        11: "belongs to 'no'",
        12: "is there with customer 'K-1'",
        13: "customer number must not be empty",
        14: "method 'smoke' is not known",
    }.items():
        assert said in problems[line], line
    assert len(isp.ok("subscriber", "list")) == 1
    with database.as_superuser() as connection:
        kept = connection.execute("SELECT row_to_json(one)::text FROM import_rows AS one").fetchall()
    assert not [row for (row,) in kept if PASSWORD in row]

    done = isp.ok("subscriber", "import-apply", str(read["import"]))
    assert (done["subscribers"], done["services"], done["refused"]) == (3, 3, 0)
    lines = {one["username"]: one for one in isp.ok("service", "list")}
    assert lines.keys() == {"zofia", "no", "0123", "02:00:00:00:00:01"}
    assert (lines["no"]["address"], lines["no"]["subscriber"], lines["0123"]["subscriber"]) == (
        "10.5.0.7",
        "K-2",
        "K-2",
    )
    assert isp.ok("subscriber", "show", "K-3")["name"] == "Bert"
    assert "already" in isp.refused("subscriber", "import-apply", str(read["import"]))

    with bad.open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[0][-1] == "problem"
    emil = next(row for row in rows if "emil" in row)
    emil[rows[0].index("Tariff")] = "Home 50"
    with bad.open("w", newline="") as opened:
        csv.writer(opened).writerows([rows[0], emil])
    fixed = isp.ok("subscriber", "import", str(bad))
    assert isp.ok("subscriber", "import-apply", str(fixed["import"]))["services"] == 1
    again = isp.ok("subscriber", "import", str(file))
    assert (again["new"], again["same"]) == (0, 5)


def test_the_password_of_a_file_is_the_services(isp: Any, tmp_path: Path) -> None:
    """It opens with the service's own place, blanks at its ends and all."""
    file = tmp_path / "customers.csv"
    file.write_text("number,name,username,password\nK-2,Anna,anna, two  blanks \n")
    read = isp.ok("subscriber", "import", str(file), "--plan", "Home 50")
    assert isp.ok("subscriber", "import-apply", str(read["import"]))["services"] == 1
    from ispagents.cli import common  # noqa: PLC0415 - after the state folder is known
    from sql.customers import service_by_username  # noqa: PLC0415

    with common.acting("") as (session, operator_id):
        sealed = service_by_username(session, operator_id, "anna").password
    assert sealed is not None
    assert common.box().open(sealed, f"services.password/{operator_id}/anna") == " two  blanks "


def test_days_and_columns_are_named(isp: Any, tmp_path: Path) -> None:
    """A file of other words is read by --map and --date-format; a first day needs billing that charges."""
    file = tmp_path / "klienci.csv"
    file.write_text("Nr,Klient,Konto,Haslo,Od\nK-2,Anna,anna,x,05/12/2026\n")
    named = ("--map", "number=Nr", "--map", "name=Klient", "--map", "username=Konto", "--map", "password=Haslo")
    words = ("subscriber", "import", str(file), *named, "--map", "starts_on=Od", "--plan", "Home 50")
    assert "is not a day" in isp.ok(*words)["problems"][0]["problem"]
    dated = (*words, "--date-format", "%d/%m/%Y")
    assert "nobody is charged yet" in isp.ok(*dated)["problems"][0]["problem"]
    isp.ok("billing", "start")
    read = isp.ok(*dated)
    assert read["new"] == 1
    assert isp.ok("subscriber", "import-apply", str(read["import"]))["services"] == 1


def test_fixed_addresses_are_no_postal_ones(isp: Any, tmp_path: Path) -> None:
    """A column named address that holds IP addresses is asked about, and then taken as told; a line each is shown."""
    file = tmp_path / "customers.csv"
    file.write_text("number,name,username,password,address\nK-2,Anna,anna,x,10.9.0.5\nK-3,Bert,bert,y,Lipowa 3\n")
    words = ("subscriber", "import", str(file), "--plan", "Home 50")
    said = isp(*words)
    assert "\nline 2 is bad: 10.9.0.5 is no postal address" in said.out
    assert isp.ok(*words)["new"] == 1
    file.write_text("number,name,username,password,address\nK-2,Anna,anna,x,10.9.0.5\n")
    read = isp.ok(*words, "--map", "ip=address")
    assert (read["new"], read["problems"]) == (1, [])
    isp.ok("subscriber", "import-apply", str(read["import"]))
    assert isp.ok("service", "show", "anna")["address"] == "10.9.0.5"
    assert isp.ok("subscriber", "show", "K-2")["address"] == ""
    assert "No row is new" in isp.ok(*words, "--map", "ip=address")["said"]


def test_nonsense_is_one_sentence(isp: Any, tmp_path: Path) -> None:
    """And nothing is stored."""
    file = tmp_path / "customers.csv"
    for content, words, said in (
        ("", (), "empty"),
        ("a,b\n1,2\n", (), "no header"),
        ("number,name\n", (), "no rows"),
        ("number,name\nK,A\n", ("--map", "colour=x"), "no column 'colour'"),
        ("number,name\nK,A\n", ("--map", "colour"), "NAME=VALUE"),
        ("number,name\nK,A\n", ("--map", "name=Nothing"), "no header"),
        ("number,name\nK,A\n", ("--method", "smoke"), "smoke"),
    ):
        file.write_text(content)
        assert said in isp.refused("subscriber", "import", str(file), *words)
    assert "no import 1" in isp.refused("subscriber", "import-apply", "1")
