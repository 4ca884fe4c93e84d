"""Reading the fields of an object for a person. A field that is null, missing or of another kind never stops a command:
a newer daemon may have changed it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from gettext import gettext as _
from gettext import ngettext
from typing import cast

from p2pchat.base.limits import PLACES_PER_GAP


def text(found: Mapping[str, object], name: str, unknown: str = "–") -> str:
    """The field ``name`` in words; ``unknown`` where it is null or missing."""
    value = found.get(name)
    return unknown if value is None else str(value)


def number(found: Mapping[str, object], name: str) -> int:
    """The whole number in the field ``name``; 0 where there is none."""
    value = found.get(name)
    return value if isinstance(value, int) else 0


def counted(count: int, one: str, many: str) -> str:
    """``one`` or ``many``, in the user's language, in which the place ``{}`` is the number."""
    return ngettext(one, many, count).format(f"{count:,}")


def not_arrived(missing: int, name: str = "") -> str:
    """Of a message's ``missing``: a line that says how many, of ``name``, are missing before it."""
    if missing >= PLACES_PER_GAP:
        said = _("{count} or more messages of {name} have not arrived")
        said = said if name else _("{count} or more messages have not arrived")
    elif name:
        said = ngettext(
            "{count} message of {name} has not arrived", "{count} messages of {name} have not arrived", missing
        )
    else:
        said = ngettext("{count} message has not arrived", "{count} messages have not arrived", missing)
    return said.format(count=f"{missing:,}", name=name)


def clock(unix_ms: object, pattern: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time of the API in local time."""
    return time.strftime(pattern, time.localtime(unix_ms / 1000)) if isinstance(unix_ms, int) else "–"


def duration(seconds: int) -> str:
    """A time that something has lasted."""
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86_400
    if seconds < 60:
        return _("{count} s").format(count=seconds)
    parts = [_("{count} min").format(count=minutes)]
    if seconds >= 3600:
        parts.insert(0, _("{count} h").format(count=hours))
    if days:
        parts.insert(0, _("{count} d").format(count=days))
    return " ".join(parts)


def size_text(size: int) -> str:
    """A number of bytes in words."""
    for unit, of in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= of:
            return f"{size / of:.1f}".removesuffix(".0") + f" {unit}"
    return ngettext("{count} byte", "{count} bytes", size).format(count=size)


def fields(found: Mapping[str, object], name: str) -> dict[str, object]:
    """The object in the field ``name``."""
    value = found.get(name)
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def objects(found: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """The list of objects in the field ``name``."""
    return [cast("dict[str, object]", item) for item in _items(found, name) if isinstance(item, dict)]


def texts(found: Mapping[str, object], name: str) -> list[str]:
    """The list of texts in the field ``name``."""
    return [item for item in _items(found, name) if isinstance(item, str)]


def _items(found: Mapping[str, object], name: str) -> list[object]:
    value = found.get(name)
    return cast("list[object]", value) if isinstance(value, list) else []
