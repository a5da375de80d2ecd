"""Records that were set aside, on the command line: listed, shown as they were written, asked to be taken in again."""


def test_rejects_are_listed_shown_and_asked_again(command, database):
    """Each with its reason; asked again once; nonsense is refused."""
    assert command.ok("spool", "rejects") == []
    with database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO spool_rejects (node, file, at_bytes, reason, record) "
            "SELECT 'node-1', 'accounting/detail.1.work', number, 'reason ' || number, E'Mon\\n\\tx = \"łódź\"\\n\\n' "
            "FROM generate_series(1, 3) AS number"
        )

    rows = command.ok("spool", "rejects", "--limit", "2")
    assert [(row["reason"], row["state"]) for row in rows] == [("reason 3", "aside"), ("reason 2", "aside")]
    last = rows[-1]["id"]
    assert [row["reason"] for row in command.ok("spool", "rejects", "--before", str(last))] == ["reason 1"]
    assert "łódź" in command.ok("spool", "show", str(last))["record"]

    assert command.ok("spool", "replay", str(last))["again"] == 1
    assert command.ok("spool", "replay", "--all")["again"] == 2
    assert {row["state"] for row in command.ok("spool", "rejects")} == {"asked"}
    with database.as_superuser() as connection:
        connection.execute("UPDATE spool_rejects SET state = 'replayed'")
    assert command.ok("spool", "rejects") == []
    assert len(command.ok("spool", "rejects", "--all")) == 3

    assert "--all" in command.refused("spool", "replay")
    assert "--all" in command.refused("spool", "replay", "1", "--all")
    assert "999999" in command.refused("spool", "replay", "999999")
    assert "999999" in command.refused("spool", "show", "999999")
