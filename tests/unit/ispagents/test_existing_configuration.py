"""FreeRADIUS's configuration language: what is read, and that every place in a file is what it says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ispagents.existing_freeradius.configuration import Call, Include, Item, Section, Unreadable, nodes, read

HERE = Path("a-file")

WORDS = st.from_regex(r"[a-z][a-z_0-9]{0,8}", fullmatch=True).filter(lambda word: word != "if")
VALUES = st.one_of(
    WORDS,
    st.from_regex(r'"[ -!#-\[\]-~]{0,12}"', fullmatch=True),
    st.just("%{%{Packet-Src-IP-Address}:-%{NAS-IP-Address}}"),
    st.just("${confdir}/mods-config"),
)
LEAVES = st.one_of(
    WORDS.map(lambda word: f"{word}\n"),
    st.tuples(WORDS, st.sampled_from(("=", ":=", "+=", " = ")), VALUES).map(lambda parts: "".join(parts) + "\n"),
    st.from_regex(r"#[ -~]{0,20}\n", fullmatch=True),
    st.just("\n"),
    st.just("if (&User-Name =~ /[{}#)]\\// && !(\"a\" == 'b)')) {\n\treject\n}\n"),
    st.just("$INCLUDE some/folder/\n"),
)
TEXTS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(WORDS, st.lists(inner, max_size=4)).map(
        lambda parts: f"{parts[0]} {{\n{''.join(parts[1])}}}\n"
    ),
    max_leaves=12,
)


def sections(children):
    for node in nodes(children):
        if isinstance(node, Section):
            yield node
            yield from sections(node.children)


@given(st.lists(TEXTS, max_size=6).map("".join))
def test_every_section_begins_and_ends_where_it_says(text):
    """Between its places stands what it holds, with balanced braces, and its line is the one of its keyword."""
    document = read(HERE, text)
    assert document.text == text
    for section in sections(document.children):
        assert text[section.body - 1] == "{"
        assert text[section.end] == "}"
        assert text[section.start :].startswith(section.keyword)
        assert text.count("\n", 0, section.start) + 1 == section.line
        again = read(HERE, text[section.body : section.end])
        assert len(again.children) == len(section.children)


@pytest.mark.parametrize("secret", ["a{b}c", "it's", 'a"b', "a#b", "a=b", "(a", "/a/path", "%{a", "a\\b"])
def test_a_bare_value_may_hold_any_letter_but_blanks_and_commas(secret):
    """As the server reads it, so that an odd secret does not hide the rest of a file."""
    text = f"client a {{\n\tsecret = {secret}\n\tipaddr = 10.0.0.1 # there\n}}\nclient b {{ secret = {secret} }}\n"
    first, second = read(HERE, text).children
    assert first.items() == {"secret": secret, "ipaddr": "10.0.0.1"}
    assert second.items() == {"secret": secret}


def test_items_calls_includes_and_sections_are_told_apart():
    """As the distribution writes them, with all kinds of values."""
    document = read(
        HERE,
        "name = value # a note\n"
        'secret = "with \\" and # inside"\n'
        "ipaddr=10.0.0.0/8\n"
        "secret2 = abc#def\n"
        "-sql\n"
        "$-INCLUDE ${confdir}/maybe\n"
        "update reply { &Message-Authenticator := 0x00 }\n"
        "long = \\\n  continued\n"
        "server a_name {\n}\n",
    )
    assert document.children[:6] == [
        Item("name", "=", "value", 1),
        Item("secret", "=", 'with " and # inside', 2),
        Item("ipaddr", "=", "10.0.0.0/8", 3),
        Item("secret2", "=", "abc#def", 4),
        Call("-sql", 5),
        Include("${confdir}/maybe", optional=True, line=6),
    ]
    update, long, server = document.children[6:]
    assert (update.keyword, update.name, update.children) == (
        "update",
        "reply",
        [Item("&Message-Authenticator", ":=", "0x00", 7)],
    )
    assert long == Item("long", "=", "continued", 8)
    assert (server.keyword, server.name, server.line) == ("server", "a_name", 10)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a {\n", "the file ends within a section"),
        ("}\n", "a section is closed that was not opened"),
        ('name = "never\n', "a quotation is not closed"),
        ("if (a == b {\n}\n", "a condition is not closed"),
        ("%{a\n", "an expansion is not closed"),
        ("a {\n" * 65 + "}\n" * 65, "deeper than 64"),
    ],
)
def test_what_is_no_configuration_is_said_with_its_line(text, why):
    """Never a traceback, and never a guess."""
    with pytest.raises(Unreadable, match=why):
        read(HERE, text)


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=200))
def test_any_bytes_are_read_or_refused(text):
    """Nothing else is raised, whatever stands in a file."""
    try:
        read(HERE, text)
    except Unreadable:
        return
