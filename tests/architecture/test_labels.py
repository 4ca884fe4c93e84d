"""Every label that the code hashes, signs or derives with stands once in PROTOCOL.md's table, and the reverse."""

from __future__ import annotations

import re
from pathlib import Path

from libp2p.peer.envelope import ENVELOPE_DOMAIN
from libp2p.security.noise.messages import SIGNED_DATA_PREFIX

ROOT = Path(__file__).parents[2]
LABEL = re.compile(r"(?:dcd1(?:/[a-z]+(?:\\0)?)?|p2pchat/1 [A-Za-z]+(?: [a-z]+)*(?:\\0)?)")


def rows() -> list[tuple[str, str]]:
    """The labels, each with its paragraph."""
    return [(label, paragraph) for label, _, paragraph in kinds()]


def kinds() -> list[tuple[str, str, str]]:
    """The labels, each with what it is for, and its paragraph."""
    text = (
        (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8").partition("\n## 9. ")[2].partition("\n## 10. ")[0]
    )
    lines = [line.split("|") for line in text.splitlines() if line.startswith("| `") and "*(reserved)*" not in line]
    return [(label, each[2].strip(), each[3].strip()) for each in lines for label in re.findall(r"`([^`]+)`", each[1])]


def table() -> list[str]:
    return [label for label, _ in rows()]


def used() -> set[str]:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "p2pchat" / "core").rglob("*.py"))
    literals = re.findall(r"b?\"((?:dcd1|p2pchat/1)[^\"]*)\"", sources)
    return {literal for literal in literals if LABEL.fullmatch(literal)}


def test_the_table_names_each_label_once() -> None:
    assert len(table()) == len(set(table()))


def test_code_and_table_have_the_same_labels() -> None:
    assert used() == set(table())


def test_what_is_signed_for_one_purpose_is_nothing_for_another() -> None:
    """Nor what libp2p has the node key sign: Noise its prefix, an envelope the length of its domain."""
    ours = [label.removesuffix(r"\0").encode() + b"\0" for label, kind, _ in kinds() if kind == "signature prefix"]
    domain = ENVELOPE_DOMAIN.encode()
    known = [*ours, SIGNED_DATA_PREFIX.encode(), bytes([len(domain)]) + domain]
    assert len(ours) >= 7
    assert not [(one, other) for one in known for other in known if one is not other and one.startswith(other)]


def test_every_label_that_is_signed_ends_with_a_zero_byte() -> None:
    assert [label for label, kind, _ in kinds() if kind == "signature prefix" and not label.endswith(r"\0")] == []


def test_a_person_of_blake2b_has_at_most_sixteen_bytes() -> None:
    assert [label for label, kind, _ in kinds() if kind == "BLAKE2b person" and len(label) > 16] == []
