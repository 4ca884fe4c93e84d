"""``scripts/translations``: make the ``.mo`` of every ``.po``, and say what each lacks or has too much.

Exit status 1 where a catalogue is incomplete or its places are others; the ``.mo`` is made all the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

from p2pchat.api.language import DOMAIN, FOLDER
from translations.catalogue import compiled, parse
from translations.wanted import PLURAL, allowed, places, too_early, wanted


def catalogues() -> list[Path]:
    """The ``.po`` of every language."""
    return sorted(FOLDER.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))


def complaints(said: dict[str, str]) -> list[str]:
    """What is wrong with a catalogue."""
    texts = {english: words for english, words in said.items() if english}
    needed = wanted()
    return [
        *(f"not translated: {_shown(english)}" for english in sorted(needed) if not texts.get(english)),
        *(f"nothing says this: {_shown(english)}" for english in sorted(texts.keys() - needed - allowed())),
        *(
            f"other places: {_shown(english)}"
            for english, words in texts.items()
            if words and not _fits(english, words)
        ),
        *(f"translated before the language is known: {each}" for each in too_early()),
    ]


def _fits(english: str, words: str) -> bool:
    """Whether the translation has the places; of a text that counts at least those of its first form."""
    one, many = places(english.partition(PLURAL)[0]), places(english.rpartition(PLURAL)[2])
    return all(one & many <= places(form) <= many for form in words.split(PLURAL))


def _shown(english: str) -> str:
    return english.replace(PLURAL, " / ")


def main() -> int:
    """The exit status."""
    failed = False
    for po in catalogues():
        said = parse(po.read_text("utf-8"))
        po.with_suffix(".mo").write_bytes(compiled(said))
        found = complaints(said)
        failed = failed or bool(found)
        print(f"{po.relative_to(FOLDER)}: {len(said) - 1} texts", *found, sep="\n  ")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
