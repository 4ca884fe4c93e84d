"""What has changed since figures were written by ``--json``.

A row is *better* or *WORSE* where no value of the one lies within the spread of the other. Of rows with five values
each, of which nothing has changed, one in 126 is by chance, and where the machine is another or busier many are: a
reason to look, and to measure again, and none to fail. What both are beside their raw limits stands next to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bench.report import aligned, shown

_SAME: Final = ("cpus", "kernel", "python")
_HEADINGS: Final = ("", "old", "new", "× old", "× raw, old → new", "")
_VALUES: Final = 5


class Unreadable(Exception):
    """That is no file of figures; the message says what is wrong."""


class Raw(msgspec.Struct, frozen=True):
    """A raw limit of a row."""

    name: str
    median: float


class Row(msgspec.Struct, frozen=True):
    """Of a row what is compared; whatever else a file has is passed over."""

    name: str
    title: str
    unit: str
    median: float
    low: float
    high: float
    rising: bool = False
    values: list[float] = []
    beside: list[Raw] = []


class Figures(msgspec.Struct, frozen=True):
    """What one measure has written."""

    machine: dict[str, str | int | float | None]
    rows: list[Row]


class _Document(msgspec.Struct, frozen=True):
    """A file: of one measure, or of all, by name."""

    machine: dict[str, str | int | float | None] = {}
    rows: list[Row] = []
    measures: Annotated[dict[str, Figures], msgspec.Meta(max_length=100)] = {}


def read(file: Path) -> dict[str, Figures]:
    """What each measure of a file has written; that of a file of one measure has no name.

    Raises:
        Unreadable: it cannot be read, or is not what ``--json`` writes.
    """
    try:
        return parsed(file.read_bytes())
    except OSError as error:
        raise Unreadable(f"{file} cannot be read: {error.strerror}.") from None
    except msgspec.MsgspecError:
        raise Unreadable(f"{file} is no file that --json has written.") from None


def parsed(data: bytes) -> dict[str, Figures]:
    """The same, of its bytes.

    Raises:
        msgspec.MsgspecError: they are not what ``--json`` writes.
    """
    document = msgspec.json.decode(data, type=_Document)
    if not document.rows and not document.measures:
        raise msgspec.ValidationError("no rows")
    return document.measures or {"": Figures(document.machine, document.rows)}


def lines(old: Mapping[str, Figures], new: Mapping[str, Figures]) -> list[str]:
    """For people: each row of both. What one measure has written has no name and is told by its rows."""
    told: list[str] = []
    verdicts: Counter[str] = Counter()
    for name, now in new.items():
        before = _holding(old, now) if "" in (name, *old) else old.get(name)
        if before is None:
            told += ["", f"{name or 'this measure'}: not among the old figures"]
            continue
        rows = _rows(before, now)
        verdicts.update(row[-1] for row in rows)
        told += ["", *([name] if name else []), *_warnings(before, now), *aligned([_HEADINGS, *rows])]
    if verdicts:
        told += ["", f"{verdicts['better']} better, {verdicts['WORSE']} worse, {verdicts['']} within the spread."]
    return told[1:]


def _holding(old: Mapping[str, Figures], now: Figures) -> Figures | None:
    """Those that have most of the same rows, whatever their name; some rows are in several measures."""
    names = {row.name for row in now.rows}
    found = max(old.values(), key=lambda each: len(names & {row.name for row in each.rows}))
    return found if 2 * len(names & {row.name for row in found.rows}) >= len(names) else None


def _warnings(before: Figures, now: Figures) -> list[str]:
    other = [f"{key} {before.machine.get(key)} → {now.machine.get(key)}" for key in _SAME if _differs(key, before, now)]
    warnings = [f"warning: another machine, compare ratios to raw limits alone: {', '.join(other)}"] if other else []
    fewest = min(len(row.values) for row in (*before.rows, *now.rows))
    if fewest < _VALUES:
        warnings.append(f"warning: rows of {fewest} values, whose spread says little; {_VALUES} are enough")
    return warnings


def _differs(key: str, before: Figures, now: Figures) -> bool:
    return before.machine.get(key) != now.machine.get(key)


def _rows(before: Figures, now: Figures) -> list[list[str]]:
    old = {row.name: row for row in before.rows}
    rows: list[list[str]] = []
    for row in now.rows:
        was = old.pop(row.name, None)
        value = f"{shown(row.median)} {row.unit}"
        if was is None or was.unit != row.unit:
            rows.append([row.title, "–", value, "–", "", "new"])
            continue
        ratio = shown(row.median / was.median) if was.median else "–"
        rows.append([row.title, f"{shown(was.median)} {was.unit}", value, ratio, _to_raw(was, row), _verdict(was, row)])
    rows += [[row.title, f"{shown(row.median)} {row.unit}", "–", "–", "", "gone"] for row in old.values()]
    return rows


def _to_raw(was: Row, now: Row) -> str:
    """The ratios of both to the first raw limit that both have."""
    limits = {each.name: each.median for each in was.beside}
    for each in now.beside:
        if each.median and limits.get(each.name):
            return f"{shown(was.median / limits[each.name])} → {shown(now.median / each.median)}"
    return ""


def _verdict(was: Row, now: Row) -> str:
    """What changed by more than both spreads: no value of the one lies within those of the other."""
    if was.low <= now.high and now.low <= was.high:
        return ""
    return "better" if (now.median > was.median) == now.rising else "WORSE"
