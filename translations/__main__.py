"""``scripts/translations``: make the ``.mo`` of every ``.po``, and say what each lacks or has too much.

Exit status 1 where a catalogue is incomplete or its places are others; the ``.mo`` is made all the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

from p2pchat.api.diagnosis import SAID, TITLES, places
from p2pchat.cli.doctor import QUESTION, SUMMARIES
from p2pchat.cli.language import DOMAIN, FOLDER
from translations.catalogue import compiled, parse


def wanted() -> set[str]:
    """Every English text that a command translates."""
    said = {words for row in SAID.values() for words in (row.text, row.advice) if words}
    return said | set(TITLES.values()) | {QUESTION, *SUMMARIES}


def catalogues() -> list[Path]:
    """The ``.po`` of every language."""
    return sorted(FOLDER.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))


def complaints(said: dict[str, str]) -> list[str]:
    """What is wrong with a catalogue."""
    texts = {english: words for english, words in said.items() if english}
    return [
        *(f"not translated: {english}" for english in sorted(wanted()) if not texts.get(english)),
        *(f"nothing says this: {english}" for english in sorted(texts.keys() - wanted())),
        *(f"other places: {english}" for english, words in texts.items() if words and places(words) != places(english)),
    ]


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
