"""Of any text: tokens of a known shape, no exception, and every part that may be asked for is found by its tokens."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from p2pchat.core.words import TOKEN_CHARACTERS, Query, fold, tokens
from tests.unit.core.test_words import leads_to

HANGUL = st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1, max_size=12)
WORD = st.text(st.characters(categories=["Ll", "Lu", "Nd"], max_codepoint=0x24F), min_size=1, max_size=40)
ANY = st.text(st.characters(), max_size=60)  # halves of surrogate pairs included
SEPARATOR = st.sampled_from([" ", "\n", ", ", "…", "-", "\0", " – "])
# in the tokenizer of the index these are token characters, and so is everything beyond ASCII
ASCII_IN_TOKENS = set("abcdefghijklmnopqrstuvwxyz0123456789$+<=>^`|~")


@given(ANY)
@example("\u0345\u03b1\ud800")
def test_tokens_have_the_shape_that_the_index_relies_on(text: str) -> None:
    for token in tokens(text):
        assert 1 <= len(token) <= TOKEN_CHARACTERS
        assert all(not character.isascii() or character in ASCII_IN_TOKENS for character in token)
        token.encode()


@given(ANY, ANY)
def test_whatever_fits_is_led_to(text: str, query: str) -> None:
    for asked in (Query.of(query), Query.of(text), Query.of(text[3:9]), Query.of(fold(text)[2:5])):
        if asked.fits(text):
            assert leads_to(asked, text)


@given(HANGUL, st.data(), ANY, ANY)
def test_every_part_of_a_run_of_hangul_is_found(run: str, data: st.DataObject, before: str, after: str) -> None:
    begin = data.draw(st.integers(0, len(run) - 1))
    end = data.draw(st.integers(begin + 1, len(run)))
    asked, text = Query.of(run[begin:end]), f"{before} {run} {after}"
    assert asked.fits(text)
    assert leads_to(asked, text)


@given(st.lists(WORD, min_size=1, max_size=8), SEPARATOR, st.data())
def test_every_beginning_of_every_word_is_found_in_any_order(
    words: list[str], separator: str, data: st.DataObject
) -> None:
    text = separator.join(words)
    asked = [word[: data.draw(st.integers(1, len(word)))] for word in data.draw(st.permutations(words))]
    for query in (Query.of(" ".join(asked).upper()), Query.of(" ".join(asked))):
        assert query.fits(text)
        assert leads_to(query, text)
