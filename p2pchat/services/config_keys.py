"""The table of all settings: the one place where a key, its type, its bounds and what it does stand together.

Rules:

- A key ``a.b`` is the key ``b`` of the table ``[a]`` in the file. Names of earlier versions are understood wherever the
  name of now is.
- A setting applies at once only where nothing holds on to what it was before.

Source: docs/OPERATIONS.md, "Configuration", which a test holds to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from p2pchat.base.silent import Silent
from p2pchat.core.params import PRODUCTION

Value = bool | int | str | tuple[str, ...]
Kind = Literal["switch", "word", "number", "text", "list"]

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")
HOUR_S: Final = 3600

_TTL_HOURS: Final = range(1, PRODUCTION.mailbox_ttl_max_s // HOUR_S + 1)
_SWITCH: Final = {"on": True, "off": False, "true": True, "false": False}
_DIGITS: Final = 18


@dataclass(frozen=True, slots=True, repr=False)
class Key(Silent):
    """One setting.

    Args:
        field: of :class:`p2pchat.services.config.Config`.
        words: what it may be, of a word.
        numbers: the same of a number.
        environment: the variable that sets it; empty: none does.
        flag: the same of the daemon's command line.
        at_once: whether a change has effect in a daemon that runs.
        earlier: other names for it.
    """

    name: str
    field: str
    kind: Kind
    doc: str
    words: tuple[str, ...] = ()
    numbers: range = range(0)
    environment: str = ""
    flag: str = ""
    at_once: bool = False
    earlier: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Under which it is understood, the one of now first."""
        return (self.name, *self.earlier)

    @property
    def takes(self) -> str:
        """What it may be, in words that follow on "is"."""
        match self.kind:
            case "switch":
                return "on or off"
            case "word":
                return f"one of {', '.join(self.words)}"
            case "number":
                return f"a whole number from {self.numbers[0]} to {self.numbers[-1]}"
            case "text":
                return "a text"
            case "list":
                return "a list of texts"

    def fitted(self, value: object) -> Value | None:
        """``value`` as the program has it; None where it is nothing that this key takes."""
        match self.kind:
            case "switch":
                if isinstance(value, str):
                    return {"on": True, "off": False}.get(value)
                return value if isinstance(value, bool) else None
            case "number":
                is_number = isinstance(value, int) and not isinstance(value, bool) and value in self.numbers
                return cast("int", value) if is_number else None
            case "list":
                items = cast("Sequence[object]", value) if isinstance(value, list | tuple) else (None,)
                return cast("tuple[str, ...]", tuple(items)) if all(isinstance(each, str) for each in items) else None
            case "word":
                return value if isinstance(value, str) and value in self.words else None
            case "text":
                return value if isinstance(value, str) else None

    def read(self, text: str) -> object:
        """What ``text``, of the environment or of a person, stands for; whether it fits is not looked at."""
        match self.kind:
            case "list":
                return text.split()
            case "number":
                return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else text
            case "switch":
                return _SWITCH.get(text, text)
            case _:
                return text


KEYS: Final = (
    Key(
        "listen",
        "listen",
        "list",
        "Where the node listens; empty: on every interface.",
        environment="P2PCHAT_LISTEN",
        flag="--listen",
    ),
    Key(
        "bootstrap.nodes",
        "bootstrap",
        "list",
        "The nodes to start from.",
        environment="P2PCHAT_BOOTSTRAP",
        flag="--bootstrap",
        earlier=("bootstrap",),
    ),
    Key(
        "bootstrap.public_dht",
        "public_dht",
        "switch",
        "Whether a node that finds no other looks for some in the public DHT of IPFS.",
        environment="P2PCHAT_PUBLIC_DHT",
    ),
    Key("bootstrap.public_entry", "public_entry", "list", "Where the public DHT is entered."),
    Key("bootstrap.announce", "announce", "switch", "Whether this node is named in the public DHT."),
    Key(
        "lan",
        "lan",
        "switch",
        "Whether nodes of the local network are looked for, and told of this one.",
        environment="P2PCHAT_LAN",
        flag="--no-lan",
    ),
    Key("net.proxy", "proxy", "text", "The SOCKS5 proxy through which every connection leaves.", flag="--proxy"),
    Key(
        "net.mode",
        "mode",
        "word",
        "Who may come near.",
        words=("open", "contacts", "lan"),
        environment="P2PCHAT_NET_MODE",
    ),
    Key(
        "nat.mapping",
        "mapping",
        "switch",
        "Whether the router is asked for a port.",
        environment="P2PCHAT_NAT_MAPPING",
    ),
    Key(
        "relay.offer",
        "relay_offer",
        "word",
        "Whether this node relays for others.",
        words=("auto", "on", "off"),
        environment="P2PCHAT_RELAY_OFFER",
    ),
    Key(
        "relay.use",
        "relay_use",
        "switch",
        "Whether this node is reached, and reaches others, through relays.",
        environment="P2PCHAT_RELAY_USE",
    ),
    Key(
        "mailbox.ttl_hours",
        "mailbox_ttl_hours",
        "number",
        "For how many hours mailboxes of contacts are asked to hold what is left there.",
        numbers=_TTL_HOURS,
        at_once=True,
    ),
    Key(
        "log.level",
        "log_level",
        "word",
        "From which level on the daemon logs.",
        words=LEVELS,
        environment="P2PCHAT_LOG_LEVEL",
        flag="--log-level",
        at_once=True,
        earlier=("log_level",),
    ),
    Key(
        "log.format",
        "log_format",
        "word",
        "The form of a line of the log; unset: text on a terminal, else json.",
        words=FORMATS,
        environment="P2PCHAT_LOG_FORMAT",
        at_once=True,
        earlier=("log_format",),
    ),
)

_BY_NAME: Final = {name: key for key in KEYS for name in key.names}


def find(name: str) -> Key | None:
    """The setting of that name, or of that earlier name."""
    return _BY_NAME.get(name)


def nearest(name: str) -> str | None:
    """What may have been meant by ``name``."""
    import difflib  # for who has mistyped: the daemon is smaller without it

    near = difflib.get_close_matches(name[:64], _BY_NAME, n=1)
    return near[0] if near else None
