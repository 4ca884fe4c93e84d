"""``rpc``: any method of the API, for what no command is made for."""

from __future__ import annotations

import json
import sys
from gettext import gettext as _
from typing import cast

import click

from p2pchat.api.errors import ApiError
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import emit


@click.command()
@click.argument("method", metavar="METHOD")
@click.argument("params", metavar="[JSON|-]", required=False)
@json_option
@pass_invocation
def rpc(invocation: Invocation, method: str, params: str | None) -> None:
    """Call METHOD with an object of parameters and print its result as JSON; - reads the object from stdin."""
    source = _standard_input() if params == "-" else params
    with invocation.client(timeout_s=None) as client:
        emit(client.call(method, **({} if source is None else _object(source))))


def _standard_input() -> str:
    if sys.stdin is None:
        raise click.UsageError(_("stdin is closed: there are no parameters."))
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise ApiError("INVALID_PARAMS", "params: is not UTF-8") from None


def _object(source: str) -> dict[str, object]:
    try:
        value = json.loads(source)
    except (ValueError, RecursionError):
        raise ApiError("INVALID_PARAMS", "params: is not JSON") from None
    if not isinstance(value, dict):
        raise ApiError("INVALID_PARAMS", "params: must be an object of named parameters")
    return cast("dict[str, object]", value)
