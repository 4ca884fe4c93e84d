"""The manual page is that of the commands as they are, and groff has nothing to say against it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from manual.__main__ import FILE
from manual.page import page
from p2pchat.cli.examples import EXAMPLES


def test_the_page_in_the_tree_is_that_of_the_commands() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), "make it with: scripts/manual"


def shown() -> str:
    """The page as a terminal shows it."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    arguments = ["groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-P-c", "-rLL=400n"]
    done = subprocess.run(arguments, input=page().encode(), capture_output=True, check=True)
    assert done.stderr == b""
    return re.sub(".\b", "", done.stdout.decode())


def test_groff_shows_it_without_a_warning_and_examples_as_they_are_typed() -> None:
    text = shown()
    for lines in EXAMPLES.values():
        for line in lines:
            assert f" {line}\n" in text
    assert "p2pchat send [OPTIONS] TO [TEXT|-]" in text


def test_every_section_is_there() -> None:
    found = re.findall(r"^\.SH (.*)$", page(), re.MULTILINE)
    assert found == [
        *("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES")
    ]
    assert "_complete" not in page()
