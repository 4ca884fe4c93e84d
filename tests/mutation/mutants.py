"""Every small change to a module that its tests ought to notice.

Rules:

- What is changed is what a protocol is made of: constants and labels, bounds, comparisons, operands (an agreement or
  associated data left out, two swapped), arguments of the primitives, what is replaced in a state, refusals.
- A refusal is taken away, or raises something that is not declared. Sentences of errors, annotations of functions,
  docstrings and whether a repr is silent are not changed: other tests hold those.
- A mutant is named by the function and the change, so that its name outlives changes elsewhere in the file.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_PRIMITIVES: Final = ("aead_seal", "aead_open", "hkdf", "blake2b", "blake2b_plain")
_SILENT: Final = ("frozen", "slots", "repr", "kw_only", "default_factory")
_NUMBERS: Final = ("_s", "_ms", "_bytes", "_BYTES", "_MAX", "epoch", "seq", "step", ".n", ".ts", "max_length")
_TELLING: Final = ("RecordRefused",)

_COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_NEGATED: Final = (ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot)
_COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands in its parent: a field, or one element of a list."""

    parent: ast.AST
    name: str
    index: int | None = None

    def put(self, node: ast.AST | None) -> None:
        """Put ``node`` there; None takes an element out of its list."""
        if self.index is None:
            setattr(self.parent, self.name, node)
            return
        among: list[ast.AST] = getattr(self.parent, self.name)
        among[self.index : self.index + 1] = [] if node is None else [node]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. ``name``: unique in its module, ``function: old → new``; ``line``: where it stands, from 1."""

    name: str
    line: int
    place: Place = field(repr=False)
    node: ast.AST | None = field(repr=False)

    def apply(self) -> None:
        """Change the tree that it was found in, which is not used for another one afterwards."""
        self.place.put(self.node)


def mutants_of(tree: ast.Module) -> list[Mutant]:
    """All mutants of a module, in the order of its text."""
    found: list[Mutant] = []
    names: Counter[str] = Counter()
    for scope, line, place, old, new in _changes(tree, "module"):
        after = "nothing" if new is None or isinstance(new, ast.Pass) else ast.unparse(new)
        name = f"{scope}: {ast.unparse(old)} → {after}"
        names[name] += 1
        found.append(Mutant(name if names[name] == 1 else f"{name} #{names[name]}", line, place, new))
    return found


_Change = tuple[str, int, Place, ast.AST, ast.AST | None]


def _changes(node: ast.AST, scope: str, *, in_form: bool = False) -> Iterator[_Change]:
    """``in_form``: ``node`` stands in the body of a form, whose annotations are its bounds."""
    for place, child in _children(node, in_form=in_form):
        within = f"{scope}.{child.name}".removeprefix("module.") if isinstance(child, _SCOPES) else scope
        line = getattr(child, "lineno", 0)
        for where, old, new in _changed(child, place):
            yield within, line, where, old, new
        is_form = isinstance(node, ast.ClassDef) and not node.decorator_list
        yield from _changes(child, within, in_form=is_form)


_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _children(node: ast.AST, *, in_form: bool) -> Iterator[tuple[Place, ast.AST]]:
    """The parts of ``node`` that mean something when the program runs, and that tests of behaviour can notice."""
    for name, value in ast.iter_fields(node):
        if _is_passed_over(node, name) or (name == "annotation" and not in_form):
            continue
        if isinstance(value, ast.AST):
            yield Place(node, name), value
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if isinstance(each, ast.AST) and not _is_silent(each):
                    yield Place(node, name, index), each


def _is_passed_over(node: ast.AST, name: str) -> bool:
    if isinstance(node, _SCOPES):
        return name in ("args", "returns", "decorator_list", "bases")
    if isinstance(node, ast.Raise):
        return not (isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in _TELLING)
    return False


def _is_silent(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in _SILENT
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "__all__"
    return isinstance(node, ast.Import | ast.ImportFrom)


def _changed(node: ast.AST, place: Place) -> Iterator[tuple[Place, ast.AST, ast.AST | None]]:
    """(where, what, by what) of every change of ``node`` itself."""
    match node:
        case ast.Constant():
            yield from ((place, node, new) for new in _constants(node))
        case ast.Compare():
            yield from ((place, node, new) for new in _comparisons(node))
        case ast.BoolOp():
            other = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
            yield place, node, ast.BoolOp(other, node.values)
            yield from ((place, node, new) for new in _without_each(node))
        case ast.BinOp():
            yield from ((place, node, new) for new in _operations(node))
        case ast.UnaryOp():
            yield place, node, node.operand
        case ast.IfExp():
            yield from ((place, node, new) for new in (node.body, node.orelse))
        case ast.If():
            if not _is_negated_elsewhere(node.test):
                yield Place(node, "test"), node.test, ast.UnaryOp(ast.Not(), node.test)
        case ast.Call():
            yield from _calls(node)
        case ast.Raise():
            yield place, node, ast.Pass()
            if node.exc is not None:
                undeclared = ast.Call(ast.Name("Exception", ast.Load()), [], [])
                yield Place(node, "exc"), node.exc, undeclared
        case ast.Expr() | ast.AugAssign():
            yield place, node, ast.Pass()
        case ast.Continue():
            yield place, node, ast.Break()
        case _:
            return


def _constants(node: ast.Constant) -> Iterator[ast.expr]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"\x01")
    elif isinstance(value, str):
        yield ast.Constant(value + "!")


def _comparisons(node: ast.Compare) -> Iterator[ast.expr]:
    for index, operator in enumerate(node.ops):
        other = _COMPARED[type(operator)]()
        yield ast.Compare(node.left, [*node.ops[:index], other, *node.ops[index + 1 :]], node.comparators)


def _without_each(node: ast.BoolOp) -> Iterator[ast.expr]:
    for index in range(len(node.values)):
        rest = [*node.values[:index], *node.values[index + 1 :]]
        yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _operations(node: ast.BinOp) -> Iterator[ast.expr]:
    left, right, kind = node.left, node.right, type(node.op)
    if kind in _COMPUTED and (kind is not ast.Add or _is_number(left) or _is_number(right)):
        yield ast.BinOp(left, _COMPUTED[kind](), right)
        yield left
        return
    yield from (left, right)
    if kind is ast.Add:
        yield ast.BinOp(right, node.op, left)


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int)
    if isinstance(node, ast.BinOp):
        return _is_number(node.left) or _is_number(node.right)
    return ast.unparse(node).endswith(_NUMBERS) or (isinstance(node, ast.Call) and ast.unparse(node.func) == "len")


def _is_negated_elsewhere(test: ast.expr) -> bool:
    if isinstance(test, ast.Compare):
        return len(test.ops) == 1 and isinstance(test.ops[0], _NEGATED)
    return isinstance(test, ast.UnaryOp)


def _calls(node: ast.Call) -> Iterator[tuple[Place, ast.AST, ast.AST | None]]:
    for index, keyword in enumerate(node.keywords):
        if keyword.arg not in _SILENT:
            yield Place(node, "keywords", index), keyword, None
    if ast.unparse(node.func) in _PRIMITIVES:
        for index, argument in enumerate(node.args):
            if isinstance(argument, ast.Name | ast.Attribute | ast.Call):
                yield Place(node, "args", index), argument, ast.Constant(b"")
