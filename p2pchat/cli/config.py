"""``config``: how the node is configured. Where no daemon runs, the file alone is read and written, by its program."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from gettext import gettext as _
from typing import Final, cast

import click

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.cli.invocation import Invocation, given, json_option, pass_invocation
from p2pchat.cli.output import emit, line, note, table
from p2pchat.cli.program import daemon_program
from p2pchat.cli.reading import objects, text

_STDIN: Final = "-"


@click.group()
@json_option
def config() -> None:
    """Show and change how the node is configured."""


@config.command()
@click.argument("key", required=False)
@json_option
@pass_invocation
def get(invocation: Invocation, key: str | None) -> None:
    """Show all settings, or the value of KEY: as the next start has it.

    Beside each stands where it comes from: the file, an environment variable, or a flag of the daemon.
    """
    found = objects(_called(invocation, "get", given({"key": key}))[0], "settings")
    if invocation.as_json:
        for each in found:
            emit(each)
    elif key is None:
        table([_row(each) for each in found], (_("KEY"), _("VALUE"), _("FROM"), _("IN EFFECT")))
    else:
        for each in found:
            for value in _values(each.get("value")):
                line(value)


@config.command("set")
@click.argument("key")
@click.argument("values", metavar="[VALUE]...", nargs=-1)
@click.option("--unset", is_flag=True, help="Take KEY out of the file: it is as delivered then.")
@click.option("--idempotency-key", metavar="K", help="The same key sets once.")
@json_option
@pass_invocation
def set_(invocation: Invocation, key: str, values: Sequence[str], unset: bool, idempotency_key: str | None) -> None:
    """Write KEY into the configuration file; all other lines of it stay.

    Says whether it is in effect at once, or once the daemon is started again. A list has several VALUEs. The VALUE - is
    read from standard input: a proxy's password belongs there.
    """
    if unset == bool(values):
        raise click.UsageError(_("Give a VALUE, or --unset."))
    params: dict[str, object] = {"key": key, "value": None if unset else _value(key, values)}
    setting, runs = _called(invocation, "set", params | given({"idempotency_key": idempotency_key}))
    if invocation.as_json:
        emit(setting)
    elif not invocation.quiet:
        note(_said(setting, runs))


def _value(key: str, values: Sequence[str]) -> str | list[str]:
    if list(values) == [_STDIN]:
        return sys.stdin.readline().rstrip("\r\n")
    if key == "net.proxy" and any("@" in each for each in values):
        raise ApiError(
            "INVALID_PARAMS",
            "A user name or password of the proxy on the command line is shown to everybody on this machine: "
            "give - and write it to standard input.",
        )
    return values[0] if len(values) == 1 else list(values)


def _called(invocation: Invocation, method: str, params: dict[str, object]) -> tuple[dict[str, object], bool]:
    """The result, and whether a daemon runs.

    Raises:
        ApiError: as of the method.
        NoDaemon: there is none, and the socket is no profile's.
    """
    try:
        client = invocation.client()
    except NoDaemon:
        if invocation.socket is not None:
            raise
        return _from_program(invocation.profile, method, params), False
    with client:
        return client.call(f"config.{method}", **params), True


def _from_program(profile: str, method: str, params: Mapping[str, object]) -> dict[str, object]:
    import subprocess  # loaded for nobody else

    program = [*daemon_program(), "--profile", profile, "config", method]
    done = subprocess.run(program, input=json.dumps(params).encode(), capture_output=True, check=False)  # noqa: S603  our own
    if done.returncode:
        name, _colon, sentence = done.stderr.decode(errors="replace").strip().rpartition("\n")[2].partition(": ")
        raise ApiError(name, sentence)
    return cast("dict[str, object]", json.loads(done.stdout))


def _said(setting: Mapping[str, object], runs: bool) -> str:
    key, value = text(setting, "key"), " ".join(_values(setting.get("value"))) or _("not set")
    if setting.get("by") is not None:
        said = _("{key} is written, and stays {value}: {source} comes before the file")
    elif setting.get("restart"):
        said = _("{key} is {value} once the daemon is started again")
    else:
        said = _("{key} is {value}") if runs else _("{key} is {value}, from the next start on")
    return said.format(key=key, value=value, source=text(setting, "by"))


def _row(setting: Mapping[str, object]) -> list[str]:
    source = setting.get("by") or setting.get("source")
    waits = _("once the daemon is started again") if setting.get("restart") else ""
    return [text(setting, "key"), " ".join(_values(setting.get("value"))) or "–", str(source), waits]


def _values(value: object) -> list[str]:
    """A value in words, as ``config set`` takes it."""
    if isinstance(value, list):
        return [str(each) for each in cast("list[object]", value)]
    if isinstance(value, bool):
        return ["on" if value else "off"]
    return [] if value is None else [str(value)]
