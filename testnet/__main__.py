"""``scripts/testnet``: real daemons that form a network of their own, to play with and to break.

    scripts/testnet 20                     20 nodes on loopback, in the foreground; Ctrl-C, or down, ends them
    scripts/testnet up 20 --netns          each in a network namespace of its own (root); the same as 20 --netns
    scripts/testnet status                 from another shell, as everything below
    scripts/testnet shell alice            where p2pchat talks to that node: p2pchat send bob Hello
    scripts/testnet kill bob; scripts/testnet restart bob
    scripts/testnet partition alice,bob    two islands: these, and all others; heal undoes it
    scripts/testnet logs host3 -f
    scripts/testnet down

Nothing of it leaves this machine, and nothing is left of it, however it ends.

Exit status: 0; 1, it does not come up, refuses, or there is none; 2, wrong arguments; 77, this machine or user can
have no namespaces; 128 and the signal that ended it; ``shell``: that of its command.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from bench.daemons import clean
from netlab import control, spaces
from netlab.control import LabError
from netlab.lab import Lab
from netlab.spaces import Unavailable
from netlab.topology import Options
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.sandbox import ALONE, Interrupted, Sandbox, in_sandbox
from testnet import asking
from testnet.asking import NoSuchNode
from testnet.network import TESTNET, Asked, Down, Network, pairs_of
from testnet.sweeper import Sweeper

EX_USAGE: Final = 2
EX_NOPERM: Final = 77
_NAME: Final = "testnet"
_MOST: Final = 100
_FOLLOW_S: Final = 0.1
_READ_BYTES: Final = 1 << 16


def main() -> int:
    """The exit status."""
    arguments = _parser().parse_args(_words(sys.argv[1:]))
    try:
        return int(arguments.work(arguments) or 0)
    except NoSuchNode as error:
        return _failed(error, EX_USAGE)
    except Unavailable as error:
        return _failed(error, EX_NOPERM)
    except LabError as error:
        return _failed(error, 1)
    except Interrupted as interrupted:
        return interrupted.exit_status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the end of the interpreter complains
        return 128 + signal.SIGPIPE


def _failed(error: Exception, status: int) -> int:
    print(f"testnet: {error}", file=sys.stderr)
    return status


# -- up ------------------------------------------------------------------------------------------------------------


def _up(arguments: argparse.Namespace) -> int:
    matched = min(2, arguments.nodes - 1) if arguments.matched is None else arguments.matched
    asked = Asked(arguments.name or _NAME, arguments.nodes, matched, arguments.netns)
    try:
        pairs_of(asked)
    except ValueError as error:
        return _failed(error, EX_USAGE)
    if asked.is_in_namespaces:
        spaces.check()
    with Sweeper() as sweeper:
        return in_sandbox("p2pchat-testnet-", partial(_hold, asked=asked, sweeper=sweeper))


def _hold(sandbox: Sandbox, *, asked: Asked, sweeper: Sweeper) -> int:
    """Bring it up and hold it until it is asked to end."""
    folder = sandbox.open()
    sweeper.watch(folder)
    with ExitStack() as stack:
        lab = None
        if asked.is_in_namespaces:
            options = Options(hosts=asked.nodes, public=0)
            lab = stack.enter_context(Lab("internet", options, name=asked.name))
        network = Network(sandbox, folder, asked, lab, _say)
        stack.callback(network.end)
        try:
            network.bring_up()
            _say(f"scripts/testnet status looks at it; Ctrl-C, or scripts/testnet down, ends it{_named(asked)}.")
            network.serve()
        except Down:
            return 0
        except P2PChatError as error:
            for line in network.tails():
                print(f"testnet: {line}", file=sys.stderr)
            print(f"testnet: {error.message}", file=sys.stderr)
    return 1


def _say(line: str) -> None:
    print(line, flush=True)


def _named(asked: Asked) -> str:
    return "" if asked.name == _NAME else f" (--name {asked.name})"


# -- from another shell --------------------------------------------------------------------------------------------


def _status(arguments: argparse.Namespace) -> None:
    names = control.running(TESTNET) if arguments.name is None else [arguments.name]
    if not names and not arguments.json:
        print("No test network is running.")
    for name in names:
        told = asking.looked_at(asking.ask(name, "status"))
        if arguments.json:
            print(json.dumps(told))
        else:
            print(*asking.table(told), sep="\n")


def _kill(arguments: argparse.Namespace) -> None:
    name = _meant(arguments)
    asking.node_of(asking.ask(name, "status"), arguments.node)
    asking.ask(name, "kill", node=arguments.node)


def _restart(arguments: argparse.Namespace) -> None:
    name = _meant(arguments)
    asking.node_of(asking.ask(name, "status"), arguments.node)
    asking.restart(name, arguments.node)


def _partition(arguments: argparse.Namespace) -> None:
    name = _meant(arguments)
    asking.part(name, asking.islands_of(asking.ask(name, "status"), arguments.groups))


def _heal(arguments: argparse.Namespace) -> None:
    asking.part(_meant(arguments), [])


def _logs(arguments: argparse.Namespace) -> None:
    """Print a log; ``-f``: and what comes, until the network ends."""
    node = asking.node_of(asking.ask(_meant(arguments), "status"), arguments.node)
    path = Path(node["log"])
    try:
        log = path.open("rb")
    except FileNotFoundError:
        raise LabError(f"{arguments.node} has no log yet.") from None
    with log:
        while True:
            while data := log.read(_READ_BYTES):
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            if not (arguments.follow and path.exists()):
                return
            time.sleep(_FOLLOW_S)


def _shell(arguments: argparse.Namespace) -> NoReturn:
    """Become a shell, or a command, to which p2pchat is that node's."""
    told = asking.ask(_meant(arguments), "status")
    node = asking.node_of(told, arguments.node)
    environment = clean(os.environ) | ALONE | {"P2PCHAT_HOME": node["home"]}
    environment["PATH"] = f"{told['programs']}:{environment.get('PATH', os.defpath)}"
    shell = environment.get("SHELL") or "/bin/sh"
    if not arguments.command and sys.stdin.isatty():
        print(f"p2pchat talks to {arguments.node} here; exit leaves.", file=sys.stderr)
    command = arguments.command or [shell]
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606  what the user named
    except OSError as error:
        raise LabError(f"{command[0]}: {error.strerror}.") from error


def _down(arguments: argparse.Namespace) -> None:
    control.end(_meant(arguments), TESTNET)


def _meant(arguments: argparse.Namespace) -> str:
    return control.meant(arguments.name, TESTNET, _NAME)


# -- the command line ----------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"testnet: {message[:1].upper()}{message[1:].rstrip('.')}.\n")


def _words(given: list[str]) -> list[str]:
    """A count alone is ``up`` with it."""
    at = 2 if given[:1] == ["--name"] else int("".join(given[:1]).startswith("--name="))
    return [*given[:at], "up", *given[at:]] if re.fullmatch(r"[0-9]+", "".join(given[at : at + 1])) else given


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="testnet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    named = _Parser(add_help=False)
    for each, default in ((parser, None), (named, argparse.SUPPRESS)):  # before the command or behind it
        text = f"the network that is meant; else the only one ({_NAME})"
        each.add_argument("--name", type=_name, default=default, help=text)
    what = parser.add_subparsers(required=True, metavar="WHAT")

    up = what.add_parser("up", parents=[named], help="bring a network up and hold it until Ctrl-C or down")
    up.add_argument("nodes", type=_from(2, _MOST), metavar="N", help=f"how many, 2 to {_MOST}")
    up.add_argument("--netns", action="store_true", help="each in a network namespace of its own (root)")
    up.add_argument("--matched", type=_from(0, _MOST), metavar="K", help="contacts of each (2)")
    up.set_defaults(work=_up)

    status = what.add_parser("status", parents=[named], help="the nodes, and how each is")
    status.add_argument("--json", action="store_true", help="everything, one line a network")
    status.set_defaults(work=_status)

    for name, work, text in (
        ("kill", _kill, "end a node at once (SIGKILL)"),
        ("restart", _restart, "end a node in order, or begin one that has ended; returns when it answers"),
        ("logs", _logs, "what a node has logged"),
        ("shell", _shell, "a shell, or a command, in which p2pchat talks to a node"),
    ):
        command = what.add_parser(name, parents=[named], help=text)
        command.add_argument("node", metavar="NAME")
        command.set_defaults(work=work)
        if name == "logs":
            command.add_argument("-f", "--follow", action="store_true", help="and what comes")
        if name == "shell":
            command.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")

    partition = what.add_parser("partition", parents=[named], help="let nothing pass between groups of nodes")
    partition.add_argument("groups", nargs="+", metavar="A,B", help="a group; who is in none are one more")
    partition.set_defaults(work=_partition)
    heal = what.add_parser("heal", parents=[named], help="undo a partition")
    heal.set_defaults(work=_heal)
    down = what.add_parser("down", parents=[named], help="end the network; nothing is left of it")
    down.set_defaults(work=_down)
    return parser


def _name(text: str) -> str:
    if re.fullmatch(r"[a-z0-9-]{1,32}", text) is None:
        raise argparse.ArgumentTypeError("1 to 32 of a-z, 0-9 and -")
    return text


def _from(least: int, most: int) -> Any:  # noqa: ANN401  argparse's
    def number(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,9}", text) is None or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"a number from {least} to {most}")
        return int(text)

    return number


if __name__ == "__main__":
    sys.exit(main())
