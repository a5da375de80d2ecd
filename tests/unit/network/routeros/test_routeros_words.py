"""Words and sentences as bytes: what goes in comes out, however the network cuts it."""

import logging

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from librouteros.protocol import ApiProtocol, encode_sentence

from network.routeros.errors import InvalidCommandError, MalformedReplyError
from network.routeros.words import MAX_SENTENCE_WORDS, MAX_WORD_BYTES, Reader, decode, encode

# Any text that can stand for bytes: also what is no UTF-8, which old routers hold.
TEXTS = st.binary(max_size=300).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
SENTENCES = st.lists(TEXTS.filter(bool), min_size=1, max_size=8)


def words_of(data: bytes, *cuts: int) -> list[list[str]]:
    reader, found, at = Reader(), [], 0
    for cut in (*sorted(cuts), len(data)):
        found += list(reader.feed(data[at:cut]))
        at = max(at, cut)
    return [[word.decode("utf-8", "surrogateescape") for word in words] for words in found]


@given(st.lists(SENTENCES, max_size=4), st.lists(st.integers(0, 3000), max_size=6))
def test_round_trip(sentences, cuts):
    """What is encoded is read back word for word, wherever the stream is cut."""
    data = b"".join(encode(words) for words in sentences)
    assert words_of(data, *(cut % (len(data) + 1) for cut in cuts)) == sentences


@pytest.mark.parametrize("length", [1, 0x7F, 0x80, 0x3FFF, 0x4000, 0x1FFFFF // 2, MAX_WORD_BYTES])
def test_lengths(length):
    """Words of every form of length (API page) are told as librouteros tells them, and come back byte by byte."""
    word = "x" * length
    data = encode([word])
    assert data == encode_sentence(word, encoding="ASCII")
    assert words_of(data, *range(8), length) == [[word]]


@given(TEXTS, TEXTS)
@example("no", "0123")
@example('łódź "quoted"\nline', "=a=b=")
@example("true", "")
def test_values_stay_text(name, comment):
    """A value is the text that the router sent, whatever it looks like; only the first two `=` are the API's."""
    (words,) = Reader().feed(encode(["!re", ".tag=7", f"=name={name}", f"=comment={comment}"]))
    assert decode(words) == ("!re", "7", {"name": name, "comment": comment}, ())


def test_words_without_a_value():
    """A field without `=value` is empty, and a word that is no field stands apart."""
    (words,) = Reader().feed(encode(["!fatal", "not logged in", "=disabled"]))
    assert decode(words) == ("!fatal", "", {"disabled": ""}, ("not logged in",))


def test_empty_sentences_are_passed_over():
    """The API page says that they are ignored."""
    assert words_of(b"\x00\x00" + encode(["!done"]) + b"\x00") == [["!done"]]


@pytest.mark.parametrize(
    "data",
    [
        b"\xf0\x00\x00\x00\x05hello",  # five bytes of length: nothing that long is taken
        b"\xff",
        b"\xe0\x20\x00\x00",  # 2 MiB announced
        b"\x01x" * (MAX_SENTENCE_WORDS + 1),
        (b"\xcf\xff\xff" + b"x" * 0xFFFFF) * 5,  # words of a megabyte without end
    ],
)
def test_nonsense_is_refused(data):
    """Lengths that cannot be, and sentences without end, are refused before they are held."""
    with pytest.raises(MalformedReplyError):
        list(Reader().feed(data))


@given(st.lists(st.binary(max_size=64), max_size=10))
def test_garbage_never_surprises(pieces):
    """Whatever comes is either sentences or MalformedReplyError."""
    reader = Reader()
    try:
        for piece in pieces:
            for words in reader.feed(piece):
                decode(words)
    except MalformedReplyError:
        pass


@pytest.mark.parametrize("word", ["", "x" * (MAX_WORD_BYTES + 1), "half \ud800 a character"])
def test_words_that_cannot_be_sent(word):
    """An empty word would end the sentence; nothing of it is encoded."""
    with pytest.raises(InvalidCommandError):
        encode(["/login", word])


def test_librouteros_logs_nothing(caplog):
    """Even its own protocol, used as its manual says, cannot write a password to our log."""

    class Nowhere:
        def write(self, data):
            pass

    with caplog.at_level(logging.DEBUG):
        ApiProtocol(transport=Nowhere(), encoding="utf-8").writeSentence("/login", "=password=hush-hush")
    assert "hush" not in caplog.text
