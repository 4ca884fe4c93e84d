"""The changes that are made are those that the head of the module names, and every excuse has a reason."""

from __future__ import annotations

import ast

import pytest

from tests.mutation.__main__ import explained, found
from tests.mutation.mutants import mutants_of
from tests.mutation.subjects import SUBJECTS, Subject

SOURCE = '''
"""Doc."""
from a import b
LABEL = b"x"
class Kept(Form, frozen=True):
    """Doc."""
    n: Annotated[int, Meta(ge=1)]
@dataclass(frozen=True)
class Held:
    n: Annotated[int, Meta(ge=1)]
def f(a: Literal[1], end_s: int) -> Literal[2]:
    """Doc."""
    if end_s >= 5 and a in b:
        raise DecodeError("it is too late")
    c = aead_seal(key, nonce + salt, plain, ad)
    send(c, to=a)
    return replace(c, x=1)
'''

CHANGES = [
    "module: b'x' → b'x\\x01'",
    "Kept: ge=1 → nothing", "Kept: 1 → 2",
    "f: end_s >= 5 and a in b → not (end_s >= 5 and a in b)", "f: end_s >= 5 and a in b → end_s >= 5 or a in b",
    "f: end_s >= 5 and a in b → a in b", "f: end_s >= 5 and a in b → end_s >= 5",
    "f: end_s >= 5 → end_s > 5", "f: 5 → 6", "f: a in b → a not in b",
    "f: raise DecodeError('it is too late') → nothing", "f: DecodeError('it is too late') → Exception()",
    "f: key → b''", "f: plain → b''", "f: ad → b''",
    "f: nonce + salt → nonce", "f: nonce + salt → salt", "f: nonce + salt → salt + nonce",
    "f: send(c, to=a) → nothing", "f: to=a → nothing",
    "f: x=1 → nothing", "f: 1 → 2",
]  # fmt: skip


def test_every_change_of_a_small_module() -> None:
    assert [mutant.name for mutant in mutants_of(ast.parse(SOURCE))] == CHANGES


@pytest.mark.parametrize("index", range(len(CHANGES)))
def test_a_change_changes_one_place_and_leaves_a_program(index: int) -> None:
    tree = ast.parse(SOURCE)
    before = ast.unparse(tree).splitlines()
    mutants_of(tree)[index].apply()
    compile(ast.fix_missing_locations(tree), "source", "exec")
    after = ast.unparse(tree).splitlines()
    assert len(after) == len(before)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=lambda subject: subject.name)
def test_every_change_has_a_name_of_its_own(subject: Subject) -> None:
    _, mutants = found(subject)
    assert len(mutants) > 10
    assert len({mutant.name for mutant in mutants}) == len(mutants)


def test_every_excuse_has_a_reason_and_a_module() -> None:
    assert set(explained()) <= set(SUBJECTS)
    assert all(why for excuses in explained().values() for why in excuses.values())
