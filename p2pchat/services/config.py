"""Configuration: one frozen dataclass; defaults < TOML file < environment < flags."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal, cast

from p2pchat.base.errors import UsageError
from p2pchat.core.access import Mode
from p2pchat.core.params import PRODUCTION

RelayOffer = Literal["auto", "on", "off"]

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")
HOUR_S: Final = 3600
_TTL_HOURS: Final = range(1, PRODUCTION.mailbox_ttl_max_s // HOUR_S + 1)
OFFERS: Final = ("auto", "on", "off")
MODES: Final = ("open", "contacts", "lan")
_IN_TABLES: Final = {
    "mailbox_ttl_hours": "mailbox.ttl_hours",
    "relay_offer": "relay.offer",
    "public_dht": "bootstrap.public_dht",
    "announce": "bootstrap.announce",
    "public_entry": "bootstrap.public_entry",
    "mapping": "nat.mapping",
    "relay_use": "relay.use",
    "mode": "net.mode",
    "proxy": "net.proxy",
}
_SWITCHES: Final = ("lan", "bootstrap.public_dht", "bootstrap.announce", "nat.mapping", "relay.use")
_NODES: Final = "bootstrap"
_LISTS: Final = ("listen", "bootstrap", "bootstrap.public_entry")
_NOT_TAKEN: Final = ("P2PCHAT_PROXY", "P2PCHAT_NET_PROXY")  # whoever sets it counts on a proxy
_CREDENTIALS_END: Final = "@"  # in the address of a proxy
_WORDS: Final = {"log_level": LEVELS, "log_format": FORMATS, "relay.offer": OFFERS, "net.mode": MODES}
_ENVIRONMENT: Final = {
    "P2PCHAT_LISTEN": "listen",
    "P2PCHAT_BOOTSTRAP": "bootstrap",
    "P2PCHAT_LOG_LEVEL": "log_level",
    "P2PCHAT_LOG_FORMAT": "log_format",
    "P2PCHAT_LAN": "lan",
    "P2PCHAT_RELAY_OFFER": "relay.offer",
    "P2PCHAT_PUBLIC_DHT": "bootstrap.public_dht",
    "P2PCHAT_NAT_MAPPING": "nat.mapping",
    "P2PCHAT_RELAY_USE": "relay.use",
    "P2PCHAT_NET_MODE": "net.mode",
}


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


def load(path: Path, environment: Mapping[str, str], flags: Mapping[str, object]) -> Config:
    """The configuration in force.

    Args:
        path: the TOML file; it need not exist.
        flags: what was given on the command line; None and () stand for "not given".

    Raises:
        UsageError: an unknown key (the nearest is named), a wrong type or value, or a file that is not TOML; a proxy's
            password where others may read it.
    """
    config = _merged(Config(), _file(path), "The configuration file")
    if holds_password(path) and path.stat().st_mode & 0o077:
        raise UsageError(
            "The configuration file holds the proxy's password, and others may read it: chmod 600 it.",
            data={"param": "net.proxy"},
        )
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
    from_environment: dict[str, object] = {}
    for variable, key in _ENVIRONMENT.items():
        if variable in environment:
            text = environment[variable]
            from_environment[key] = text.split() if key in _LISTS else text
    config = _merged(config, from_environment, "The environment")
    return _merged(config, {key: value for key, value in flags.items() if value not in (None, ())}, "The command line")


def _file(path: Path) -> dict[str, object]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The configuration file cannot be read: {type(error).__name__}.") from error
    return _parsed(text)


def holds_password(path: Path) -> bool:
    """Whether the TOML file holds the proxy's password, whoever may read it. Raises: UsageError: as :func:`load`."""
    return _CREDENTIALS_END in _merged(Config(), _file(path), "The configuration file").proxy


def check(toml: bytes) -> None:
    """That this program takes ``toml`` as a configuration file.

    Raises:
        UsageError: as :func:`load`.
    """
    try:
        text = toml.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"The configuration file cannot be read: {type(error).__name__}.") from error
    _merged(Config(), _parsed(text), "The configuration file")


def _parsed(text: str) -> dict[str, object]:
    try:
        parsed = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The configuration file is not valid TOML: {error}.") from error
    flat: dict[str, object] = {}
    for key, value in parsed.items():
        flat |= _flattened(key, value)
    return flat


def _flattened(key: str, value: object) -> dict[str, object]:
    """The entries of a table under their full names; anything else under its own.

    ``bootstrap`` is a list of nodes, or a table in which they are ``nodes``.
    """
    if not isinstance(value, dict):
        return {key: value}
    full = {f"{key}.{name}": each for name, each in cast("dict[str, object]", value).items()}
    return {_NODES if name == f"{_NODES}.nodes" else name: each for name, each in full.items()}


def _merged(config: Config, values: Mapping[str, object], where: str) -> Config:
    known = {_IN_TABLES.get(each.name, each.name): each.name for each in fields(Config)}
    changes: dict[str, object] = {}
    for key, value in values.items():
        if key not in known:
            near = get_close_matches(key, (*known, f"{_NODES}.nodes"), n=1)
            hint = f" Did you mean {near[0]}?" if near else f" Known are {', '.join(sorted(known))}."
            raise UsageError(f"{where} has an unknown key {key!r}.{hint}", data={"param": key})
        changes[known[key]] = _checked(key, value, where)
    return replace(config, **changes)  # type: ignore[arg-type]


def _checked(key: str, value: object, where: str) -> object:
    if key in _SWITCHES:
        if not isinstance(value, bool) and value not in ("on", "off"):
            raise UsageError(f"{where}: {key} is on or off.", data={"param": key})
        return value in ("on", True)
    if key in _LISTS:
        items = cast("Sequence[object]", value) if isinstance(value, list | tuple) else (None,)
        if not all(isinstance(item, str) for item in items):
            raise UsageError(f"{where}: {key} is a list of texts.", data={"param": key})
        return tuple(items)
    if key == "mailbox.ttl_hours":
        if not isinstance(value, int) or isinstance(value, bool) or value not in _TTL_HOURS:
            raise UsageError(f"{where}: {key} is a number from 1 to {_TTL_HOURS[-1]}.", data={"param": key})
        return value
    if key == "net.proxy":
        if not isinstance(value, str):
            raise UsageError(f"{where}: {key} is a text.", data={"param": key})
        if not value:  # of a variable that was never set, say: no reason to go without
            raise UsageError(f"{where}: {key} is empty; name a proxy or take it away.", data={"param": key})
        return value
    allowed = _WORDS[key]
    if value not in allowed:
        raise UsageError(f"{where}: {key} is one of {', '.join(allowed)}.", data={"param": key})
    return value
