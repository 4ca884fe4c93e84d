"""Messages as people write them, as far as search and storage notice: three languages, few words often, many seldom.

The same seed gives the same texts. ``RARE`` stands in none of them until it is put there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

RARE: Final = "Quokka"
FREQUENT: Final = "the"
ONE_SYLLABLE: Final = "밥"
TWO_SYLLABLES: Final = "김치"

_ENGLISH: Final = (
    "the to and a of in it is you that for on was with be at have this I not are we but they what so out up all about "
    "when there can will get like do just time know good see now then home back work going tomorrow night call meet"
)
_GERMAN: Final = (
    "der die und ich in zu das ist nicht es du mit wir auf für den auch so ein was über später schön Straße Bäcker "
    "heute morgen kommen gehen vielleicht Grüße müssen können noch schon wieder"
)
_KOREAN: Final = (
    "나는 너는 오늘 내일 저녁에 뭐 먹을까 김치찌개 밥 먹고 싶은데 어때 그래 좋아 지금 집에 가는 중이야 언제 와 빨리 "
    "처음부터 다시 시작하자 ㅋㅋㅋ ㅠㅠ 👍 회사에서 만나자 고마워 사랑해 진짜 너무 많이 같이"
)
_SYLLABLES: Final = "가나다라마바사아자차카타파하고노도로모보소오조구누두루무부수우주기니디리미비시이지"
_LETTERS: Final = "etaoinshrdlucmfwypvbgk"
_SELDOM: Final = 20_000


class Prose:
    """An endless source of texts."""

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self._languages: list[tuple[list[str], list[str]]] = [
            (list[str](_ENGLISH.split()), self._made(_LETTERS, (3, 9))),
            (list[str](_GERMAN.split()), self._made(_LETTERS, (4, 12))),
            (list[str](_KOREAN.split()), self._made(_SYLLABLES, (2, 5))),
        ]

    def _made(self, letters: str, lengths: tuple[int, int]) -> list[str]:
        return ["".join(self._chance.choices(letters, k=self._chance.randint(*lengths))) for _ in range(_SELDOM)]

    def texts(self, count: int) -> Iterator[str]:
        """Of 1 to 60 words."""
        for _ in range(count):
            often, seldom = self._languages[min(int(self._chance.random() * 3), 2)]
            length = min(int(self._chance.paretovariate(0.9) * 4), 60)
            words: list[str] = self._chance.choices(often, k=length)
            for place in range(0, length, 3):  # every third word is one of many
                words[place] = seldom[min(int(self._chance.paretovariate(0.5)), _SELDOM) - 1]
            yield " ".join(words)
