"""What options may say: checked before anything is measured, so that nothing that was measured is lost."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path


def at_least_one(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a number from 1")
    return int(text)


def number(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("a number from 0")
    return int(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError("a number above 0")
    return found


def picture(text: str) -> Path:
    """A file to draw into, whose name says what it is."""
    if not text.endswith(".png"):
        raise argparse.ArgumentTypeError("a file whose name ends with .png")
    return Path(text)


def to_write(text: str) -> Path:
    """A file that can be written, by what its folder says."""
    file = Path(text)
    if not is_writable(file):
        raise argparse.ArgumentTypeError(f"{file} cannot be written")
    return file


def is_writable(file: Path) -> bool:
    """Whether a file is, or could be, written there."""
    return not file.is_dir() and os.access(file if file.exists() else file.parent, os.W_OK)
