"""``config.get`` and ``config.set``: what is configured, and how it is changed while the daemon runs or does not.

Rules:

- Whatever is set has passed everything that the next start will ask of it, together with all else that is configured,
  before a byte is written. Of a change that is refused nothing is left.
- The file is the user's own: it is read anew each time, one value is changed in it, and all other lines stay.
- The environment and flags come before the file, also before what is set now: the reply says so.
- A name or password of the proxy is shown to nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import structlog
import trio

from p2pchat.api.settings import Config as Shown
from p2pchat.api.settings import Given, Setting
from p2pchat.base.errors import UsageError
from p2pchat.core.backup import SETTINGS_BYTES
from p2pchat.net.addresses import parse_address
from p2pchat.net.dnsaddr import parse_entry
from p2pchat.services import config, config_file, config_keys
from p2pchat.services.behind_proxy import proxy_of
from p2pchat.services.config import Config, Merged
from p2pchat.services.config_keys import KEYS, Key, Value
from p2pchat.services.toml_lines import TomlLines, literal

T = TypeVar("T")

_FILE: Final = "The configuration file"
_CREDENTIALS: Final = re.compile(r"^([a-z0-9]*://)?.*@", re.DOTALL)

log = structlog.get_logger()


def nobody_runs(_: Config) -> None:
    """There is no daemon in which anything could have effect."""


def refuse_unusable(wanted: Config) -> None:
    """What the types of a configuration do not say: that its addresses can be read, and that it goes together.

    Raises:
        UsageError: with the key as ``data.param``.
    """
    listen = [_understood("listen", parse_address, text)[0] for text in wanted.listen]
    proxy_of(wanted, listen)
    for text in wanted.bootstrap:
        _understood("bootstrap.nodes", parse_entry, text)
    for text in wanted.public_entry:
        _understood("bootstrap.public_entry", parse_entry, text)


class Configuration:
    """What one profile is configured as.

    Args:
        path: its file; None: there is none, as in a simulation.
        environment: of the daemon, or of whoever asks where there is none.
        flags: of the daemon's command line, by key.
        running: what the daemon was started with; None: none runs.
        apply: has the settings that apply at once take effect.

    Concurrency: :meth:`set` may be called from another thread, and one at a time: with ``changing`` held.
    """

    def __init__(
        self,
        path: Path | None,
        environment: Mapping[str, str],
        flags: Mapping[str, object],
        *,
        running: Config | None = None,
        apply: Callable[[Config], None] = nobody_runs,
    ) -> None:
        self._path = path
        self._environment = dict(environment)
        self._flags = dict(flags)
        self._running = running
        self._apply = apply
        self._wanted = running
        self.changing = trio.Lock()

    def get(self, name: str | None = None) -> Shown:
        """All settings, or the one of that name.

        Raises:
            UsageError: there is no such setting; the file is not one that a daemon would take.
        """
        keys = KEYS if name is None else (_key(name),)
        merged = self._merged(self._read())
        return Shown(settings=[self._shown(key, merged) for key in keys])

    def set(self, name: str, value: Given) -> Setting:
        """Write a setting into the file; None takes it out. Blocking.

        Raises:
            UsageError: there is no such setting, it does not take that value, or not with all else; the file is not one
                that a daemon would take.
            StoreError: the disk refused.
        """
        key = _key(name)
        if self._path is None:
            raise UsageError("This node has no configuration file.", name="FORBIDDEN")
        fitted = None if value is None else _fitted(key, value)
        before = self._read()
        text = self._changed(before, key, fitted)
        merged = self._merged(text)
        self._refuse_unusable(key, merged.config)
        if fitted is not None:  # as it would be without what comes before it
            self._refuse_unusable(key, replace(merged.config, **{key.field: fitted}))  # type: ignore[arg-type]
        if text != before:
            config_file.write(self._path, text.encode(), private=config.has_password(merged))
        self._wanted = merged.config
        return self._shown(key, merged, changed=True)

    def take_effect(self) -> None:
        """Have what was set take effect, where that is at once."""
        running, wanted = self._running, self._wanted
        if running is None or wanted is None:
            return
        now = replace(running, **{key.field: wanted.value(key) for key in KEYS if key.at_once})  # type: ignore[arg-type]
        for key in KEYS:
            if now.value(key) != running.value(key):
                log.info("config.changed", reason=key.name)
        if now != running:
            self._apply(now)
            self._running = now

    def _read(self) -> str:
        return "" if self._path is None else config.read(self._path)

    def _merged(self, text: str) -> Merged:
        return config.merge(text, f"{_FILE} {self._path}", self._environment, self._flags)

    def _changed(self, text: str, key: Key, value: Value | None) -> str:
        """The text with that value, and with nothing else changed.

        Raises:
            UsageError: it is not TOML; the key stands where it cannot be changed from here; the file would be too long.
        """
        lines = config.parsed(text, f"{_FILE} {self._path}")
        edited = _edited(lines, key, value)
        wanted = {_now(name): each for name, each in config.flattened(lines).items()}
        wanted.pop(key.name, None)
        if value is not None:
            wanted[key.name] = list(value) if isinstance(value, tuple) else value
        try:
            found = {_now(name): each for name, each in config.flattened(TomlLines(edited)).items()}
        except (ValueError, RecursionError):
            found = None
        if found != wanted:
            line = lines.line_of(key.name) or lines.line_of(key.name.partition(".")[0])
            where = f"{_FILE} {self._path}" + ("" if line is None else f", line {line}")
            raise UsageError(
                f"{where}: {key.name} stands there in a form that is not changed from here; change it by hand, or "
                "write tables as [TABLE] and not in braces.",
                data={"param": "key", "key": key.name},
            )
        if len(edited.encode()) > SETTINGS_BYTES:
            raise UsageError(f"{_FILE} may have {SETTINGS_BYTES} bytes.", name="TOO_LARGE", data={"param": "value"})
        return edited

    def _refuse_unusable(self, key: Key, wanted: Config) -> None:
        try:
            refuse_unusable(wanted)
        except UsageError as error:
            param = error.data.get("param")
            if param in key.names:
                raise UsageError(f"value: {error.message}", data={"param": "value", "key": key.name}) from error
            raise UsageError(f"value: with {param} as it is: {error.message}", data={"param": "value"}) from error

    def _shown(self, key: Key, merged: Merged, *, changed: bool = False) -> Setting:
        source, by = merged.sources.get(key.name, ("default", ""))
        value = merged.config.value(key)
        waits = self._running is not None and self._running.value(key) != value and not (changed and key.at_once)
        return Setting(
            key=key.name,
            value=_open(key, value),
            default=_open(key, Config().value(key)),
            source=source,
            by=by or None,
            file=_open(key, merged.filed[key.name]) if key.name in merged.filed else None,
            applies="at once" if key.at_once else "restart",
            restart=waits,
            takes=key.takes,
            doc=key.doc,
        )


def _key(name: str) -> Key:
    key = config_keys.find(name)
    if key is None:
        near = config_keys.nearest(name)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(each.name for each in KEYS)}"
        raise UsageError(f"key: is no setting; {hint}", data={"param": "key", "nearest": near})
    return key


def _fitted(key: Key, value: Given) -> Value:
    fitted = key.fitted(key.read(value) if isinstance(value, str) else value)
    if fitted is None:
        raise UsageError(f"value: {key.name} is {key.takes}", data={"param": "value", "key": key.name})
    if key.kind == "text" and not fitted:
        raise UsageError(f"value: {key.name} is empty; null takes it away", data={"param": "value", "key": key.name})
    return fitted


def _edited(lines: TomlLines, key: Key, value: Value | None) -> str:
    if value is None:
        return lines.take_out(key.names)
    if "." in key.name:  # a list of nodes that is called as the table is: it becomes a member of that
        table = key.name.partition(".")[0]
        other = config_keys.find(table)
        if other is not None and other is not key and not isinstance(lines.values.get(table, {}), dict):
            lines = TomlLines(lines.rename(table, other.name))
    return lines.put(key.names, literal(value))


def _now(name: str) -> str:
    key = config_keys.find(name)
    return name if key is None else key.name


def _open(key: Key, value: Value) -> bool | int | str | list[str] | None:
    """A value for everybody's eyes; a text that is not set is null."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, str):
        return (_CREDENTIALS.sub(r"\1***@", value) if key.kind == "text" else value) or None
    return value


def _understood(key: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(error.message, data={"param": key}) from error
