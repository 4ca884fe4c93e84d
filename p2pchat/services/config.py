"""Configuration: one frozen dataclass; defaults < TOML file < environment < flags.

The settings are in :mod:`p2pchat.services.config_keys`; what changes them while a daemon runs is in
:mod:`p2pchat.services.configure`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, cast

from p2pchat.base.errors import UsageError
from p2pchat.core.access import Mode
from p2pchat.core.params import PRODUCTION
from p2pchat.services import config_keys
from p2pchat.services.config_keys import FORMATS, HOUR_S, KEYS, LEVELS, Key, Value
from p2pchat.services.toml_lines import TomlLines

__all__ = ["FORMATS", "HOUR_S", "LEVELS", "Config", "Merged", "RelayOffer", "check", "holds_password", "load", "merge"]

RelayOffer = Literal["auto", "on", "off"]
Source = Literal["default", "file", "environment", "flag"]

_NOT_TAKEN: Final = ("P2PCHAT_PROXY", "P2PCHAT_NET_PROXY")  # whoever sets it counts on a proxy
_CREDENTIALS_END: Final = "@"  # in the address of a proxy
_FILE: Final = "The configuration file"
_MOST: Final = 1 << 20  # characters, far beyond all settings: a link may lead to what has no end


@dataclass(frozen=True, slots=True)
class Config:
    """What a user can set.

    Args:
        listen: multiaddrs to listen on; empty means every interface. Port 0 is a free port, the same at every start.
        bootstrap: multiaddrs with ``/p2p/…`` of nodes to start from, and ``/dnsaddr/…`` of names that tell of some.
        log_level: one of debug, info, warning, error.
        log_format: text or json; empty: text on a terminal, json elsewhere.
        mailbox_ttl_hours: in the file ``ttl_hours`` of the table ``mailbox``: for how long mailboxes of contacts are
            asked to hold what is left there, 1 to 336.
        lan: whether nodes of the local network are looked for, and told of this one.
        relay_offer: in the file ``offer`` of the table ``relay``: whether this node relays for others; auto: once it
            is known to be reachable from the internet.
        public_dht: in the file ``public_dht`` of the table ``bootstrap``: whether a node that finds no other looks for
            some in the public DHT of IPFS.
        announce: in the file ``announce`` of the same: whether this node is named there, once it is known to be
            reachable.
        mapping: in the file ``mapping`` of the table ``nat``: whether the router is asked for a port.
        relay_use: in the file ``use`` of the table ``relay``: whether this node is reached, and reaches others, through
            relays.
        mode: in the file ``mode`` of the table ``net``: open, contacts (strangers get no more than the DHT and relays)
            or lan (nothing beyond the local network).
        proxy: in the file ``proxy`` of the same: ``socks5://[USER:PASSWORD@]HOST:PORT`` through which every connection
            leaves; empty: none. In no environment, since it may hold a password.
        public_entry: in the file ``public_entry`` of the table ``bootstrap``: where the public DHT is entered.
    """

    listen: tuple[str, ...] = ()
    bootstrap: tuple[str, ...] = ()
    log_level: str = "info"
    log_format: str = ""
    mailbox_ttl_hours: int = PRODUCTION.mailbox_ttl_s // HOUR_S
    lan: bool = True
    relay_offer: RelayOffer = "auto"
    public_dht: bool = True
    announce: bool = False
    mapping: bool = True
    public_entry: tuple[str, ...] = ("/dnsaddr/bootstrap.libp2p.io",)
    relay_use: bool = True
    mode: Mode = "open"
    proxy: str = field(default="", repr=False)

    def value(self, key: Key) -> Value:
        """That of one setting."""
        return cast("Value", getattr(self, key.field))


@dataclass(frozen=True, slots=True)
class Merged:
    """A configuration, and where each of its values comes from.

    Args:
        filed: those that the file has, also where something else comes before it.
        sources: by key; what is missing is as delivered. With the variable or the flag.
    """

    config: Config
    filed: Mapping[str, Value] = field(repr=False)
    sources: Mapping[str, tuple[Source, str]] = field(repr=False)


def load(path: Path, environment: Mapping[str, str], flags: Mapping[str, object]) -> Config:
    """The configuration in force.

    Args:
        path: the TOML file; it need not exist.
        flags: what was given on the command line; None and () stand for "not given".

    Raises:
        UsageError: an unknown key (the nearest is named), a wrong type or value, with file and line; a file that is not
            TOML; a proxy's password where others may read it.
    """
    merged = merge(read(path), f"{_FILE} {path}", environment, flags)
    if has_password(merged) and path.stat().st_mode & 0o077:
        raise UsageError(
            "The configuration file holds the proxy's password, and others may read it: chmod 600 it.",
            data={"param": "net.proxy"},
        )
    return merged.config


def merge(text: str, file: str, environment: Mapping[str, str], flags: Mapping[str, object]) -> Merged:
    """What comes of a TOML text, the environment and flags together.

    Args:
        file: what an error calls the text.

    Raises:
        UsageError: as :func:`load`, but for the rights of the file.
    """
    filed = _of_file(text, file)
    if _CREDENTIALS_END in str(flags.get("net.proxy") or ""):
        raise UsageError(
            "A user name or password of the proxy on the command line is shown to everybody on this machine: put "
            "net.proxy into the configuration file.",
            data={"param": "net.proxy"},
        )
    for variable in _NOT_TAKEN:
        if variable in environment:
            raise UsageError(
                f"{variable} is not taken from the environment, which other programs see: put net.proxy into the "
                "configuration file, or give --proxy.",
                data={"param": "net.proxy"},
            )
    sources: dict[str, tuple[Source, str]] = dict.fromkeys(filed, ("file", ""))
    values = dict(filed)
    for key in KEYS:
        if key.environment in environment:
            values[key.name] = _fitted(
                key, key.name, key.read(environment[key.environment]), f"The environment variable {key.environment}"
            )
            sources[key.name] = ("environment", key.environment)
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    for key, name, value in _known(given, lambda _: "The command line"):
        values[key.name] = _fitted(key, name, value, "The command line")
        sources[key.name] = ("flag", key.flag)
    return Merged(_config(values), filed, sources)


def read(path: Path) -> str:
    """The text of a configuration file; empty where there is none, since nobody has to write one.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        # a pipe that nobody writes into would keep the whole daemon waiting
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8", newline="") as file:
            kind = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(kind) and not stat.S_ISCHR(kind):  # whoever wants none may link it to /dev/null
                raise UsageError(f"{_FILE} {path} is no file that can be read.")
            text = file.read(_MOST + 1)
            if len(text) > _MOST:
                raise UsageError(f"{_FILE} {path} is longer than {_MOST} characters.", name="TOO_LARGE")
            return text
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{_FILE} {path} cannot be read: {_why(error)}.") from error


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Those of an environment that are of the configuration."""
    names = {*(key.environment for key in KEYS if key.environment), *_NOT_TAKEN}
    return {name: value for name, value in environment.items() if name in names}


def holds_password(path: Path) -> bool:
    """Whether the TOML file holds the proxy's password, whoever may read it. Raises: UsageError: as :func:`load`."""
    return has_password(merge(read(path), f"{_FILE} {path}", {}, {}))


def has_password(merged: Merged) -> bool:
    """Whether the file of it holds the proxy's password."""
    return _CREDENTIALS_END in str(merged.filed.get("net.proxy", ""))


def check(toml: bytes) -> None:
    """That this program takes ``toml`` as a configuration file.

    Raises:
        UsageError: as :func:`load`.
    """
    try:
        text = toml.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{_FILE} cannot be read: {_why(error)}.") from error
    _of_file(text, _FILE)


def parsed(text: str, file: str) -> TomlLines:
    """The file of that text.

    Raises:
        UsageError: it is not TOML.
    """
    try:
        return TomlLines(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}.") from error


def flattened(lines: TomlLines) -> dict[str, object]:
    """The entries of tables under their full names, anything else under its own; no setting is deeper."""
    flat: dict[str, object] = {}
    for name, value in lines.values.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": each for inner, each in cast("dict[str, object]", value).items()}
        else:
            flat[name] = value
    return flat


def _of_file(text: str, file: str) -> dict[str, Value]:
    lines = parsed(text, file)

    def place(name: str) -> str:
        line = lines.line_of(name)
        return file if line is None else f"{file}, line {line}"

    values: dict[str, Value] = {}
    for key, name, value in _known(flattened(lines), place):
        if key.name in values:
            both = " and ".join(key.names)
            raise UsageError(f"{place(name)}: {both} are the same; take one of them away.", data={"param": name})
        values[key.name] = _fitted(key, name, value, place(name))
    return values


def _known(given: Mapping[str, object], place: Callable[[str], str]) -> list[tuple[Key, str, object]]:
    """What is given, by its key and by the name that it has there."""
    found: list[tuple[Key, str, object]] = []
    for name, value in given.items():
        key = config_keys.find(name)
        if key is None:
            near = config_keys.nearest(name)
            known = ", ".join(sorted(each.name for each in KEYS))
            hint = f" Did you mean {near}?" if near else f" Known are {known}."
            raise UsageError(f"{place(name)}: unknown key {name!r}.{hint}", data={"param": name})
        found.append((key, name, value))
    return found


def _fitted(key: Key, name: str, value: object, place: str) -> Value:
    fitted = key.fitted(value)
    if fitted is None:
        raise UsageError(f"{place}: {name} is {key.takes}.", data={"param": name})
    if key.kind == "text" and not fitted:  # of a variable that was never set, say: no reason to go without
        raise UsageError(f"{place}: {name} is empty; name a proxy or take it away.", data={"param": name})
    return fitted


def _config(values: Mapping[str, Value]) -> Config:
    changes = {key.field: values[key.name] for key in KEYS if key.name in values}
    return replace(Config(), **changes)  # type: ignore[arg-type]


def _why(error: Exception) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or type(error).__name__
