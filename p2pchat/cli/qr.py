"""QR codes: on the terminal, or as a picture in a file.

A link is drawn in upper case, which fits the alphanumeric mode of QR codes. segno is loaded when one is drawn: no other
command waits for it.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from p2pchat.api.errors import ApiError
from p2pchat.cli.output import drawing, line

if TYPE_CHECKING:
    from segno import QRCode

_PIXELS: Final = 8  # a module's width and height
_WHITE_ON_BLACK: Final = "\x1b[38;5;231;48;5;16m"  # of the fixed colours, that no theme replaces
_AS_BEFORE: Final = "\x1b[0m"


def show_link(link: str) -> None:
    """``link`` as a QR code, if the terminal can show one, and as text."""
    rows = _rows(link)
    if _can_write(rows[0]):
        for row in rows:
            drawing(f"{_WHITE_ON_BLACK}{row}{_AS_BEFORE}" if sys.stdout.isatty() else row)
    line(link)


def save_png(link: str, path: str) -> None:
    """The QR code of ``link`` as a new file.

    Raises:
        ApiError: ALREADY_EXISTS, or STORE where it cannot be written.
    """
    picture = io.BytesIO()
    _code(link).save(picture, kind="png", scale=_PIXELS)
    try:
        with Path(path).open("xb") as file:
            file.write(picture.getvalue())
    except FileExistsError:
        raise ApiError("ALREADY_EXISTS", "There is a file of that name, and it is left as it is.") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ApiError("STORE", f"The picture cannot be written: {why}.") from None


def _code(link: str) -> QRCode:
    import segno

    return segno.make_qr(link.upper())


def _rows(link: str) -> list[str]:
    """Two rows of modules in each line: a block is light, for characters are the light part of what is drawn."""
    drawn = io.StringIO()
    _code(link).terminal(drawn, compact=True)
    return drawn.getvalue().splitlines()


def _can_write(row: str) -> bool:
    try:
        row.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
