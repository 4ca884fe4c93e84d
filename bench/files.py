"""Where figures and pictures shall go: what is wrong with that is said before anything is measured."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def unwritable(*files: Path | None) -> str | None:
    """A sentence on the first of the files that were asked for and cannot be written; nothing is made or changed."""
    return next((f"{file} cannot be written." for file in files if file is not None and not _is_writable(file)), None)


def _is_writable(file: Path) -> bool:
    try:
        if file.exists():
            return not file.is_dir() and os.access(file, os.W_OK)
        return file.parent.is_dir() and os.access(file.parent, os.W_OK | os.X_OK)
    except OSError:  # a name too long, a folder that may not be looked into
        return False


def picture(text: str) -> Path:
    """The type of an argument that names a picture."""
    if not text.endswith(".png"):
        raise argparse.ArgumentTypeError("a file whose name ends with .png")
    return Path(text)


def to_write(text: str) -> Path:
    """The type of an argument that names a file to be written."""
    file = Path(text)
    if wrong := unwritable(file):
        raise argparse.ArgumentTypeError(wrong.rstrip("."))
    return file
