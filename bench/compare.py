"""What has changed since figures were written by ``--json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bench.report import aligned, shown

_SAME: Final = ("cpus", "kernel", "python")
_HEADINGS: Final = ("", "old", "new", "× old", "")


class Unreadable(Exception):
    """That is no file of figures; the message says what is wrong."""


class Row(msgspec.Struct, frozen=True):
    """Of a row what is compared; whatever else a file has is passed over."""

    name: str
    title: str
    unit: str
    median: float
    low: float
    high: float
    rising: bool = False


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
    """For people: each row that both have. What one measure has written is looked for among what all have, too."""
    told: list[str] = []
    for name, now in new.items():
        before = old.get(name) or (_holding(old, now) if not name else None)
        if before is None:
            told += ["", f"{name}: not among the old figures"]
            continue
        told += ["", *([name] if name else []), *_warnings(before, now), *_table(before, now)]
    return told[1:]


def _holding(old: Mapping[str, Figures], now: Figures) -> Figures | None:
    """Those that have the same rows, whatever their name."""
    names = {row.name for row in now.rows}
    found = max(old.values(), key=lambda each: len(names & {row.name for row in each.rows}))
    return found if names & {row.name for row in found.rows} else None


def _warnings(before: Figures, now: Figures) -> list[str]:
    other = [f"{key} {before.machine.get(key)} → {now.machine.get(key)}" for key in _SAME if _differs(key, before, now)]
    return [f"warning: another machine, so that only ratios to raw limits can be compared: {', '.join(other)}"] * bool(
        other
    )


def _differs(key: str, before: Figures, now: Figures) -> bool:
    return before.machine.get(key) != now.machine.get(key)


def _table(before: Figures, now: Figures) -> list[str]:
    old = {row.name: row for row in before.rows}
    rows: list[list[str]] = [list(_HEADINGS)]
    for row in now.rows:
        was = old.pop(row.name, None)
        value = f"{shown(row.median)} {row.unit}"
        if was is None or was.unit != row.unit:
            rows.append([row.title, "–", value, "–", "new"])
            continue
        ratio = shown(row.median / was.median) if was.median else "–"
        rows.append([row.title, f"{shown(was.median)} {was.unit}", value, ratio, _verdict(was, row)])
    rows += [[row.title, f"{shown(row.median)} {row.unit}", "–", "–", "gone"] for row in old.values()]
    return aligned(rows)


def _verdict(was: Row, now: Row) -> str:
    """What changed by more than both spreads: no value of the one lies within those of the other."""
    if was.low <= now.high and now.low <= was.high:
        return ""
    return "better" if (now.median > was.median) == now.rising else "WORSE"
