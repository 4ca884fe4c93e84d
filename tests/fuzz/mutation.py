"""Junk out of something valid: trees of msgpack and JSON values, written loosely, and bytes.

Rules:

- Everything follows from the ``Random`` that is handed in: the same seed makes the same junk.
- Lengths grow by little here; what is giant is announced (a length), not sent.
"""

from __future__ import annotations

import struct
from random import Random
from typing import Final, TypeAlias

Tree: TypeAlias = "bool | int | float | bytes | str | list[Tree] | dict[str, Tree] | None"

_INTEGERS: Final = (
    -(1 << 63), -(1 << 31) - 1, -32_769, -129, -33, -32, -1, 0, 1, 127, 128, 255, 256, 65_535, 65_536,
    (1 << 31) - 1, (1 << 32) - 1, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
)  # fmt: skip
_TEXTS: Final = ("", "\0", "a" * 300, "\ufeff", "\u202e", "\U0010ffff", "e\u0301", "\r\n", "*", "-1", "null")
_BOUNDARY_LENGTHS: Final = (0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1024, 4096)
_INTERESTING: Final = (0x00, 0x01, 0x7F, 0x80, 0x81, 0x90, 0x9F, 0xA0, 0xC0, 0xC1, 0xC4, 0xC6, 0xD9, 0xDC, 0xDF, 0xFF)
_DEEPEST: Final = 40_000


def sized(chance: Random, most: int) -> bytes:
    """Random bytes, short ones more often than long ones, of ``most`` at most."""
    length = chance.choice(_BOUNDARY_LENGTHS) if chance.random() < 0.3 else int(most ** chance.random())
    return chance.randbytes(min(length, most))


def damaged(chance: Random, data: bytes) -> bytes:
    """``data`` with one to four random changes: bits, bytes, ranges, integers, the end."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        _damage(chance, out)
    return bytes(out)


def _damage(chance: Random, out: bytearray) -> None:
    at = chance.randrange(len(out)) if out else 0
    to = min(len(out), at + 1 + int(64 ** chance.random()))
    kind = chance.randrange(9)
    if kind == 0 and out:
        out[at] ^= 1 << chance.randrange(8)
    elif kind == 1 and out:
        out[at] = chance.choice(_INTERESTING)
    elif kind == 2:
        out[at:at] = sized(chance, 64)
    elif kind == 3:
        del out[at:to]
    elif kind == 4:
        out[at:at] = out[at:to] * chance.choice((1, 1, 2, 30))
    elif kind == 5:
        del out[at:]
    elif kind == 6:
        out[at : at + 4] = struct.pack(">I", chance.choice(_INTEGERS) & 0xFFFF_FFFF)
    elif kind == 7:
        out[at:to] = chance.randbytes(to - at)
    else:
        out += sized(chance, 256)


def scalar(chance: Random) -> Tree:
    """A value of any simple type, near a bound more often than not."""
    kinds: tuple[Tree, ...] = (
        None,
        chance.random() < 0.5,
        chance.choice(_INTEGERS),
        chance.choice((0.0, -0.0, 1.5, float("inf"), float("nan"), 1e308)),
        sized(chance, 2048),
        chance.choice(_TEXTS),
    )
    return chance.choice(kinds)


def deep(chance: Random) -> Tree:
    """Lists or maps within each other, around the depths at which parsers give up."""
    levels = chance.choice((2, 31, 32, 33, 64, 200))
    tree: Tree = scalar(chance)
    for _ in range(levels):
        tree = [tree] if chance.random() < 0.5 else {chance.choice(_TEXTS): tree}
    return tree


def mutated(chance: Random, tree: Tree) -> Tree:
    """``tree`` with one place changed: another type, a bound, one element more or fewer, too deep."""
    if isinstance(tree, list) and tree and chance.random() < 0.8:
        return _mutated_list(chance, tree)
    if isinstance(tree, dict) and tree and chance.random() < 0.8:
        return _mutated_map(chance, tree)
    if isinstance(tree, bytes) and chance.random() < 0.5:
        return _resized(chance, tree)
    return deep(chance) if chance.random() < 0.05 else scalar(chance)


def _mutated_list(chance: Random, tree: list[Tree]) -> list[Tree]:
    out = list(tree)
    at = chance.randrange(len(out))
    kind = chance.randrange(8)
    if kind == 0:
        del out[at]
    elif kind == 1:
        out.insert(at, scalar(chance))
    elif kind == 2:
        out.insert(at, out[at])
    elif kind == 3:
        chance.shuffle(out)
    elif kind == 4:
        out = [*out, *[out[at]] * chance.choice((2, 70, 1100))] if _is_small(out[at]) else out[:1]
    else:
        out[at] = mutated(chance, out[at])
    return out


def _is_small(tree: Tree) -> bool:
    return not isinstance(tree, list | dict) and len(str(tree)) < 200


def _mutated_map(chance: Random, tree: dict[str, Tree]) -> dict[str, Tree]:
    out = dict(tree)
    key = chance.choice(list(out))
    kind = chance.randrange(6)
    if kind == 0:
        del out[key]
    elif kind == 1:
        out[chance.choice(_TEXTS) or "x"] = scalar(chance)
    elif kind == 2:
        out[key.upper()] = out.pop(key)
    else:
        out[key] = mutated(chance, out[key])
    return out


def _resized(chance: Random, data: bytes) -> bytes:
    kind = chance.randrange(4)
    if kind == 0:
        return data[:-1]
    if kind == 1:
        return data + b"\0"
    return sized(chance, 4096) if kind == 2 else damaged(chance, data)


def packed(chance: Random, tree: Tree, loose: float = 0.0) -> bytes:
    """``tree`` as msgpack.

    Args:
        loose: how often a head is not in its shortest form, or lies about its length.
    """
    out = bytearray()
    waiting = [tree]
    while waiting:  # not recursive: some trees are deeper than Python's stack
        item = waiting.pop()
        out += _head(chance, item, loose)
        if isinstance(item, bytes):
            out += item
        elif isinstance(item, str):
            out += item.encode("utf-8", "surrogatepass")
        elif isinstance(item, list):
            waiting.extend(reversed(item))
        elif isinstance(item, dict):
            waiting.extend(part for pair in reversed(item.items()) for part in reversed(pair))
    return bytes(out)


def _head(chance: Random, item: Tree, loose: float) -> bytes:
    if item is None:
        return b"\xc0"
    if isinstance(item, bool):
        return b"\xc3" if item else b"\xc2"
    if isinstance(item, float):
        return b"\xcb" + struct.pack(">d", item)
    is_loose = chance.random() < loose
    if isinstance(item, int):
        return _integer(chance, item, is_loose)
    count = len(item.encode("utf-8", "surrogatepass")) if isinstance(item, str) else len(item)
    if is_loose and chance.random() < 0.3:
        count = chance.choice((count + 1, max(0, count - 1), 0, 0xFFFF, 0xFFFF_FFFF))
    return _length(chance, item, count, is_loose)


def _integer(chance: Random, value: int, is_loose: bool) -> bytes:
    forms = [
        struct.pack(f">B{code}", head, value)
        for head, code, low, high in (
            (0xCC, "B", 0, 1 << 8), (0xD0, "b", -(1 << 7), 1 << 7),
            (0xCD, "H", 0, 1 << 16), (0xD1, "h", -(1 << 15), 1 << 15),
            (0xCE, "I", 0, 1 << 32), (0xD2, "i", -(1 << 31), 1 << 31),
            (0xCF, "Q", 0, 1 << 64), (0xD3, "q", -(1 << 63), 1 << 63),
        )
        if low <= value < high
    ]  # fmt: skip
    if is_loose:
        return chance.choice(forms)
    return struct.pack(">b" if value < 0 else ">B", value) if -32 <= value < 128 else forms[0]


def _length(chance: Random, item: bytes | str | list[Tree] | dict[str, Tree], count: int, is_loose: bool) -> bytes:
    short, forms = {
        bytes: (None, (0xC4, 0xC5, 0xC6)),
        str: ((0xA0, 32), (0xD9, 0xDA, 0xDB)),
        list: ((0x90, 16), (None, 0xDC, 0xDD)),
        dict: ((0x80, 16), (None, 0xDE, 0xDF)),
    }[type(item)]
    fitting: list[bytes] = []
    if short is not None and count < short[1]:
        fitting.append(bytes([short[0] | count]))
    for head, code, bound in zip(forms, "BHI", (1 << 8, 1 << 16, 1 << 32), strict=True):
        if head is not None and count < bound:
            fitting.append(struct.pack(f">B{code}", head, count))
    return chance.choice(fitting) if is_loose else fitting[0]


def abyss(chance: Random) -> bytes:
    """msgpack nested as deep as a frame has bytes for; with and without an end."""
    levels = chance.choice((33, 1_000, _DEEPEST))
    return chance.choice((b"\x91", b"\x81\xa0", b"\xdc\x00\x01")) * levels + chance.choice((b"\xc0", b""))
