"""The language in which commands speak to a person: English, or what ``locale/`` has a catalogue of.

Rules:

- LC_ALL, LC_MESSAGES and LANG say which, the first that is set, as everywhere; whatever has no catalogue is English.
- What is translated is the English sentence with its places unfilled, so that a sentence without a translation still
  says what it says. What programs read is never translated.
- ``locale/LANGUAGE/LC_MESSAGES/p2pchat.po`` is written by people, and ``scripts/translations`` makes the ``.mo``.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "locale"
DOMAIN: Final = "p2pchat"

Translate = Callable[[str], str]

_VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
_LANGUAGE: Final = re.compile("[a-z]{2,3}")


def language(environ: Mapping[str, str]) -> str:
    """The code of the language that the environment asks for, such as ``ko``; empty where it names none."""
    asked = next((environ[name] for name in _VARIABLES if environ.get(name)), "")
    found = _LANGUAGE.match(asked)
    return found.group() if found is not None and asked[found.end() : found.end() + 1] in ("", "_", ".", "@") else ""


def translator(environ: Mapping[str, str]) -> Translate:
    """What turns an English sentence into one of the user's language."""
    catalogue = gettext.translation(DOMAIN, FOLDER, [language(environ)], fallback=True)
    return lambda english: catalogue.gettext(english) if english else ""  # the empty one is the catalogue's header
