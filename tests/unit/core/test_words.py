"""What search takes for the same, where things begin, and that the tokens lead to everything that fits."""

from __future__ import annotations

import pytest

from p2pchat.core.words import TOKEN_CHARACTERS, Query, Term, fold, tokens


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Über die Straße", "uber strasse"),
        ("Über die Straße", "STRASSE ÜBER"),
        ("Uber", "ü"),
        ("U\u0308ber", "über"),
        ("Łódź, Tromsø", "lodz tromso"),
        ("Việt Nam", "viet"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("Ёлка", "елка"),
        ("İstanbul, ISPARTA", "istanbul \u0131sparta"),
        ("\uff21\uff22\uff23 \uff11\uff12\uff13", "abc 123"),
        ("ﬁne", "fin"),
        ("co\u00adoperate", "cooperate"),
        ("처음부터 끝까지", "부"),
        ("처음부터 끝까지", "부터"),
        ("처음부터 끝까지", "음부터"),
        ("처음부터 끝까지", "까지 처음"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", "한글"),
        ("네ㄳ ㅋㅋㅋ", "네"),
        ("네ㄳ ㅋㅋㅋ", "ㄳ"),
        ("네ㄳ ㅋㅋㅋ", "ㅋㅋ"),
        ("iPhone을 샀다", "iphone"),
        ("iPhone을 샀다", "iphone을"),
        ("iPhone을 샀다", "을"),
        ("東京都に行く", "京都"),
        ("ｶﾞｷﾞ", "ガギ"),
        ("か\u3099", "が"),
        ("สวัสดีครับ", "ครับ"),
        ("हिन्दी में", "हिन्"),
        ("good 👍🏽 work", "👍"),
        ("good 👍🏽 work", "👍🏽"),
        ("👨\u200d👩\u200d👧", "👩"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩"),
        ("❤\ufe0f", "❤"),
        ("❤", "❤\ufe0f"),
        ("going to 🇰🇷", "🇰🇷"),
        ("C++ and c#", "c++"),
        ("50€", "€"),
        ("mail to bob@example.com", "example"),
        ("a_b", "b"),
        ("don't", "don’t"),
        ("x" * 100, "x" * 99),
        ("\ud800half a pair", "half"),
        ("before\0after", "after"),
    ],
)
def test_it_is_found(text: str, query: str) -> None:
    asked = Query.of(query)
    assert asked.fits(text)
    assert leads_to(asked, text)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Straße", "aße"),
        ("Straße", "strasser"),
        ("가나 나다", "가나다"),
        ("가 나", "가나"),
        ("한", "하"),
        ("iPhone 을", "iphone을"),
        ("iPhones을", "iphone을"),
        ("か", "が"),
        ("C + +", "c++"),
        ("one", "one two"),
        ("x" * 100, "x" * 99 + "y"),
        ("anything", ""),
        ("anything", "..., !"),
    ],
)
def test_it_is_not_found(text: str, query: str) -> None:
    assert not Query.of(query).fits(text)


def leads_to(query: Query, text: str) -> bool:
    """Whether the index, which holds the tokens of ``text``, has it for each term of ``query``."""
    held = tokens(text)

    def has(term: Term) -> bool:
        return term.token in held or (term.begins and any(token.startswith(term.token) for token in held))

    return all(map(has, query.terms()))


def test_the_tokens_of_a_run_are_its_characters_and_every_two_neighbours() -> None:
    assert tokens("가나다") == {"가", "나", "다", "가나", "나다"}
    assert tokens("한 Straße 👍") == {"한", "strasse", "👍"}
    assert tokens("a" * 1_000) == {"a" * TOKEN_CHARACTERS}


def test_a_query_of_many_words_asks_the_index_for_some_of_them() -> None:
    asked = Query.of(" ".join(f"word{n}" for n in range(100)))
    assert len(asked.terms()) == 32
    assert asked.fits(" ".join(f"words word{n}" for n in reversed(range(100))))
    assert not asked.fits(" ".join(f"word{n}" for n in range(99)))


@pytest.mark.parametrize("text", ["", " \t\n", "...", "\0\u200b\ufeff", "_-_", "\ud800", "¿?«»"])
def test_in_what_only_separates_there_is_nothing_to_find(text: str) -> None:
    assert Query.of(text).pieces == ()
    assert tokens(text) == set()


def test_texts_stand_in_no_repr() -> None:
    asked = Query.of("secret 비밀")
    assert "secret" not in f"{asked!r}{asked.terms()!r}"
    assert "비밀" not in f"{asked!r}{asked.terms()!r}"


def test_folding_twice_changes_nothing() -> None:
    for text in ("Über", "네ㄳ", "ｶﾞ", "İI", "ﬁ½㎏…", "\u0345\u03b1", "ǅ", "ŉ"):
        assert fold(fold(text)) == fold(text)
