"""A file's bytes → what it holds, whatever program has written it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from p2pchat.cli.addressbook.entry import Found, bounded
from p2pchat.cli.addressbook.table import read_table
from p2pchat.cli.addressbook.text import decoded, in_utf8
from p2pchat.cli.addressbook.vcard import read_cards

_CARD: Final = re.compile(rb"(?:^|[\r\n])[ \t]*BEGIN[ \t]*:[ \t]*VCARD", re.IGNORECASE)


def read_book(data: bytes) -> Iterator[Found]:
    """Every entry of a vCard or CSV file, and a refusal for everything in it that is none.

    Args:
        data: at most :data:`p2pchat.cli.addressbook.entry.FILE_BYTES` bytes, whatever they are.
    """
    data = in_utf8(data)
    return bounded(read_cards(data) if _CARD.search(data) else read_table(decoded(data)))
