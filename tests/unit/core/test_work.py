"""Proof of work (PROTOCOL.md 3.2)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from p2pchat.core import work
from p2pchat.core.work import leading_zero_bits, mine, work_of

DIGEST = bytes(range(32))


@pytest.mark.parametrize("bits", [0, 1, 7, 8, 9, 12])
def test_mined_nonce_is_the_first_with_enough_work(bits: int) -> None:
    nonce = mine(DIGEST, bits)
    assert len(nonce) == 8
    assert work_of(DIGEST, nonce) >= bits
    before = range(int.from_bytes(nonce, "big"))
    assert all(work_of(DIGEST, n.to_bytes(8, "big")) < bits for n in before)


@pytest.mark.parametrize(
    ("digest", "bits"),
    [
        (b"\xff" * 32, 0),
        (b"\x80" + bytes(31), 0),
        (b"\x01" + bytes(31), 7),
        (b"\0\x40" + bytes(30), 9),
        (bytes(32), 256),
    ],
)
def test_leading_zero_bits(digest: bytes, bits: int) -> None:
    assert leading_zero_bits(digest) == bits


def test_module_imports_hashlib_alone_so_that_a_child_process_loads_at_once() -> None:
    tree = ast.parse(Path(work.__file__).read_text(encoding="utf-8"))
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert froms == {"__future__"}
    assert names == {"hashlib"}
