"""``scripts/netlab``: networks to play with, until they are taken down.

Exit status: 0; 1, the lab refused or there is none; 2, wrong arguments; 77, this machine or user can have no lab;
``exec``: that of its command.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final

from netlab import control
from netlab.control import LabError
from netlab.lab import Lab
from netlab.spaces import Unavailable, check, inside
from netlab.topology import Options, names

EX_NOPERM: Final = 77
_NAME: Final = "lab"


def main() -> int:
    """The exit status."""
    arguments = _parser().parse_args()
    try:
        check()
        return int(arguments.work(arguments) or 0)
    except Unavailable as error:
        print(f"netlab: {error}", file=sys.stderr)
        return EX_NOPERM
    except LabError as error:
        print(f"netlab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _up(arguments: argparse.Namespace) -> None:
    options = Options(
        hosts=arguments.hosts,
        public=arguments.public,
        both=arguments.both,
        natpmp=arguments.natpmp,
        upnp=arguments.upnp,
        hosts_at_home=arguments.at_home,
    )
    with Lab(arguments.topology, options, name=arguments.name or _NAME, seed=arguments.seed) as lab:
        _print(lab.status())
        if arguments.foreground:
            sys.stdout.flush()
            signal.pause()  # Ctrl-C raises, other signals end this process: the network notices either
        else:
            lab.leave()


def _down(arguments: argparse.Namespace) -> None:
    for name in control.running() if arguments.all else [_name(arguments)]:
        control.end(name)


def _exec(arguments: argparse.Namespace) -> None:
    told = control.ask(_name(arguments), {"do": "status"})
    host = told["hosts"].get(arguments.host)
    if host is None:
        raise LabError(f"There is no host {arguments.host!r}; there are {', '.join(told['hosts'])}.")
    home = f"{told['homes']}/{arguments.host}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("P2PCHAT_", "XDG_"))}
    environment |= {"HOME": home, "P2PCHAT_HOME": home}
    with inside(host["namespace"]):
        try:
            os.execvpe(arguments.command[0], arguments.command, environment)  # noqa: S606  what the user named
        except OSError as error:
            raise LabError(f"{arguments.command[0]}: {error.strerror}.") from error


def _status(arguments: argparse.Namespace) -> None:
    labs = control.running()
    if arguments.name is None and not labs and not arguments.json:
        print("No lab is running.")
    for name in labs if arguments.name is None else [arguments.name]:
        told = control.ask(name, {"do": "status"})
        if arguments.json:
            print(json.dumps(told))
        else:
            _print(told)


def _set(arguments: argparse.Namespace) -> None:
    values = {key: getattr(arguments, key) for key in ("delay_ms", "jitter_ms", "loss", "rate_kbit")}
    _tell(arguments, "set", host=arguments.host, **values)


def _cut(arguments: argparse.Namespace) -> None:
    _tell(arguments, "cut", one=arguments.one, other=arguments.other)


def _heal(arguments: argparse.Namespace) -> None:
    _tell(arguments, "heal", one=arguments.one, other=arguments.other)


def _move(arguments: argparse.Namespace) -> None:
    print(*_tell(arguments, "move", host=arguments.host, segment=arguments.to, addresses=arguments.addresses), sep="\n")


def _plug(arguments: argparse.Namespace) -> None:
    _tell(arguments, "plug", host=arguments.host, is_in=arguments.is_in)


def _restart(arguments: argparse.Namespace) -> None:
    _tell(arguments, "restart", box=arguments.box)


def _tell(arguments: argparse.Namespace, what: str, **values: object) -> Any:  # noqa: ANN401  JSON
    given = {name: value for name, value in values.items() if value is not None}
    return control.ask(_name(arguments), {"do": what} | given)


def _name(arguments: argparse.Namespace) -> str:
    return control.meant(arguments.name, control.LAB, _NAME)


def _print(told: Mapping[str, Any]) -> None:
    print(f"{told['name']}: {told['topology']}, process {told['pid']}, homes in {told['homes']}")
    for name, host in told["hosts"].items():
        kind = " (router)" if host["is_router"] else ""
        line = " ".join(f"{key}={value:g}" for key, value in host["link"].items() if value)
        state = "" if host["is_plugged"] else "unplugged"
        cells = (f"  {name}{kind}", host["segment"], *host["addresses"], line, state)
        print("  ".join(each for each in cells if each))
    for name, box in told["boxes"].items():
        print(f"  {name}: {len(box['mappings'])} mappings, {box['refused']} packets refused")
    for pair in told["cut"]:
        print("  cut: " + ("all of " if len(pair) == 1 else "") + " – ".join(pair))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="netlab", description="Networks to test in, in namespaces of this machine.")
    parser.add_argument("--name", help=f"the lab that is meant; else the only one ({_NAME})")
    what = parser.add_subparsers(required=True, metavar="WHAT")
    up = what.add_parser("up", help="make a network: " + ", ".join(names()))
    up.add_argument("topology", choices=names())
    up.add_argument("--foreground", action="store_true", help="until Ctrl-C, not until down")
    up.add_argument("--hosts", type=_from(2, 200), default=2, metavar="N", help="hosts of lan and internet (2)")
    up.add_argument("--public", type=_from(1, 200), default=1, metavar="N", help="public hosts (1)")
    up.add_argument("--at-home", type=_from(1, 200), default=1, metavar="N", help="hosts in each home (1)")
    up.add_argument("--both", action="store_true", help="random-nat: both routers choose ports at random")
    up.add_argument("--natpmp", action="store_true", help="home routers map ports by NAT-PMP")
    up.add_argument("--upnp", action="store_true", help="home routers map ports by UPnP IGD")
    up.add_argument("--seed", type=int, default=1, metavar="N", help="of losses, jitter and ports (1)")
    up.set_defaults(work=_up)
    down = what.add_parser("down", help="end the network and whatever runs in it")
    down.add_argument("--all", action="store_true", help="all of them")
    down.set_defaults(work=_down)
    execute = what.add_parser("exec", help="become a command on a host, with a home of its own")
    execute.add_argument("host")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    execute.set_defaults(work=_exec)
    status = what.add_parser("status", help="hosts, addresses, lines, cuts")
    status.add_argument("--json", action="store_true", help="everything, one line a lab")
    status.set_defaults(work=_status)
    settings = what.add_parser("set", help="what a line does to packets that its host sends; without HOST, all lines")
    settings.add_argument("host", nargs="?")
    settings.add_argument("--delay-ms", type=float, metavar="MS")
    settings.add_argument("--jitter-ms", type=float, metavar="MS")
    settings.add_argument("--loss", type=float, metavar="SHARE", help="0 to 1")
    settings.add_argument("--rate-kbit", type=float, metavar="KBIT", help="a second; 0: without bound")
    settings.set_defaults(work=_set)
    for name, work, text in (
        ("cut", _cut, "let nothing pass between two hosts, or to and from one"),
        ("heal", _heal, "undo a cut, or all"),
    ):
        command = what.add_parser(name, help=text)
        command.add_argument("one", nargs=None if name == "cut" else "?")
        command.add_argument("other", nargs="?")
        command.set_defaults(work=work)
    move = what.add_parser("move", help="other addresses, maybe in another segment; prints them")
    move.add_argument("host")
    move.add_argument("--to", metavar="SEGMENT")
    move.add_argument("addresses", nargs="*", metavar="ADDRESS/LENGTH")
    move.set_defaults(work=_move)
    for name, is_in in (("plug", True), ("unplug", False)):
        command = what.add_parser(name, help=f"take a host's interface {'up' if is_in else 'down'}")
        command.add_argument("host")
        command.set_defaults(work=_plug, is_in=is_in)
    restart = what.add_parser("restart", help="have a box forget its mappings and flows")
    restart.add_argument("box")
    restart.set_defaults(work=_restart)
    return parser


def _from(least: int, most: int) -> Any:  # noqa: ANN401  argparse's
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"a number from {least} to {most}")
        return int(text)

    return number


if __name__ == "__main__":
    sys.exit(main())
