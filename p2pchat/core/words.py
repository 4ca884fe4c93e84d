"""Texts as search sees them: folded, and cut into the tokens that the word index holds.

Rules:

- Folded: compatibility forms (full-width letters, ligatures), case and accents are gone, and so is what is not seen,
  such as joiners and variation selectors. Hangul is composed; the letters ㄱ to ㅣ stay what they are.
- Letters, digits, marks and symbols (emoji are some) are found; white space and punctuation separate.
- A query is made of pieces. A text fits when each of them stands in it, in any order, where something begins: at the
  beginning of a word, or anywhere in symbols and in what is written without spaces (Hangul, Han, kana, Thai, others).
  ``ube str`` finds "Über die Straße", and ``부터`` finds "처음부터".
- The index holds of each text the words, and of each run of what has no words every character and every two
  neighbours: a query of one syllable or of two is one token. It leads to candidates, never to too few;
  :meth:`Query.fits` decides.

Source: docs/ARCHITECTURE.md, "Search".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from operator import add
from typing import Final

RULES: Final = f"1 {unicodedata.unidata_version}"
"""Which rules these are: an index that was made by others holds other tokens."""

TOKEN_CHARACTERS: Final = 24
"""Of a longer word the index holds the beginning."""

_TERMS_AT_MOST: Final = 32  # of a query; beyond it only Query.fits looks

# accents; and what is not seen: joiners, marks of direction, soft hyphens, variation selectors, tags
_ACCENTS: Final = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_UNSEEN: Final = re.compile(
    f"[{_ACCENTS}\xad\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]+"
)
_ACCENTED: Final = re.compile(f"[\xc0-\u0587\u1e00-\u1fff{_ACCENTS}]+")  # Latin, Greek, Cyrillic, Armenian
_STROKES: Final = str.maketrans("ıłøđ", "ilod")  # accents that Unicode takes for part of the letter
# composed with their neighbours they would make other syllables: 네ㄳ is not 넧
_NO_SINGLE_LETTERS: Final = re.compile("[^\u3131-\u318e]+")
_UNSPACED: Final = re.compile(
    "[\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u2e80-\u2fdf\u3005-\u3007\u3021-\u303c"
    "\u3041-\u9fff\ua000-\ua4cf\ua960-\ua97f\ua9e0-\ua9ff\uaa60-\uaadf\uac00-\ud7ff\uf900-\ufaff]"
)
"""Thai, Lao, Tibetan and Myanmar; Hangul; Khmer; Tai; Han with its radicals; kana, bopomofo, Yi."""
_BEYOND: Final = "\U00010000-\U0010ffff"  # emoji, ideographs, old scripts, and what nobody has assigned


def _is_unit(character: str) -> bool:
    """Whether something begins with every such character: it is of no spaced script, or a symbol, or not known yet."""
    kind = unicodedata.category(character)
    return kind[0] == "S" or kind in ("Cn", "Co") or (kind[0] in "LMN" and _UNSPACED.match(character) is not None)


def _is_letter(character: str) -> bool:
    """Whether it is part of a word."""
    return unicodedata.category(character)[0] in "LMN" and _UNSPACED.match(character) is None


def _ranges(fits: Callable[[str], bool]) -> str:
    """Those characters of the first plane as the inside of a class of a pattern."""
    found = (code for code in range(0x10000) if fits(chr(code)))
    # of neighbours the difference to the number in the row is the same
    groups = groupby(enumerate(found), lambda pair: pair[1] - pair[0])
    spans = ([code for _, code in group] for _, group in groups)
    return "".join(f"\\u{span[0]:04x}-\\u{span[-1]:04x}" for span in spans)


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Runs of letters, of units, and of both."""

    words: re.Pattern[str] = field(repr=False)
    runs: re.Pattern[str] = field(repr=False)
    pieces: re.Pattern[str] = field(repr=False)


@cache
def _patterns() -> _Patterns:
    """Made when they are needed: looking at every character takes a tenth of a second, which no start waits for."""
    letters, units = _ranges(_is_letter), _ranges(_is_unit) + _BEYOND
    return _Patterns(re.compile(f"[{letters}]+"), re.compile(f"[{units}]+"), re.compile(f"[{letters}{units}]+"))


def fold(text: str) -> str:
    """``text`` without what two spellings of the same may differ in."""
    if text.isascii():
        return text.lower()
    composed = _NO_SINGLE_LETTERS.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text).casefold()
    plain = _ACCENTED.sub(lambda run: unicodedata.normalize("NFD", run[0]).translate(_STROKES), composed)
    return unicodedata.normalize("NFC", _UNSEEN.sub("", plain))


def tokens(text: str) -> set[str]:
    """What the index holds of ``text``: no token has a separator in it, or more than ``TOKEN_CHARACTERS``."""
    folded, patterns = fold(text), _patterns()
    found = {word[:TOKEN_CHARACTERS] for word in patterns.words.findall(folded)}
    for run in patterns.runs.findall(folded):
        found.update(run, _pairs(run))
    return found


def _pairs(run: str) -> Iterator[str]:
    """Every two neighbours."""
    return map(add, run, run[1:])


@dataclass(frozen=True, slots=True)
class Term:
    """A token that the index must hold of a text that fits; ``begins``: or one that begins with it."""

    token: str = field(repr=False)
    begins: bool


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for.

    Attributes:
        pieces: folded, without separators; of none of them anything is found.
    """

    pieces: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, text: str) -> Query:
        return cls(tuple(dict.fromkeys(_patterns().pieces.findall(fold(text)))))

    def fits(self, text: str) -> bool:
        """Whether ``text`` has every piece."""
        folded = fold(text)
        return bool(self.pieces) and all(_stands(piece, folded) for piece in self.pieces)

    def terms(self) -> tuple[Term, ...]:
        """Which tokens lead to the texts that fit; none of them is left out there."""
        found = dict.fromkeys(term for piece in self.pieces for term in _terms(piece))
        return tuple(found)[:_TERMS_AT_MOST]


def _stands(piece: str, folded: str) -> bool:
    words, at = _patterns().words, folded.find(piece)
    if words.match(piece):
        while at > 0 and words.match(folded, at - 1):  # in the middle of a word
            at = folded.find(piece, at + 1)
    return at >= 0


def _terms(piece: str) -> Iterator[Term]:
    """A word in the middle of a piece ends there; the last one may go on."""
    patterns = _patterns()
    for word in patterns.words.finditer(piece):
        yield Term(word[0][:TOKEN_CHARACTERS], word.end() == len(piece) and len(word[0]) < TOKEN_CHARACTERS)
    for run in patterns.runs.findall(piece):
        if len(run) == 1:
            yield Term(run, False)
        for pair in _pairs(run):
            yield Term(pair, False)
