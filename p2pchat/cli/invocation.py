"""What the options before the command say: which profile, how to print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from p2pchat.api.errors import NoDaemon
from p2pchat.api.paths import DEFAULT_PROFILE, ProfilePaths, checked_socket, program_of
from p2pchat.client.blocking import Client

F = TypeVar("F", bound=Callable[..., object])


@dataclass
class Invocation:
    """The global options of one command line."""

    profile: str = DEFAULT_PROFILE
    socket: str | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False

    def socket_path(self) -> Path:
        """Raises: UsageError: the name is no profile's, or the path is too long."""
        return checked_socket(Path(self.socket)) if self.socket else ProfilePaths(self.profile).socket

    def client(self, *, timeout_s: float | None = 30.0) -> Client:
        """A connection to the daemon.

        Raises:
            NoDaemon: there is none; the sentence says how to start it.
        """
        path = self.socket_path()
        try:
            return Client(path, timeout_s=timeout_s)
        except NoDaemon:
            raise NoDaemon(self._how_to_start()) from None

    def call(self, method: str, /, **params: object) -> dict[str, object]:
        """One call on a connection of its own; parameters that are None are left out."""
        with self.client() as client:
            return client.call(method, **given(params))

    def program(self) -> str:
        """How the user calls p2pchat for this profile."""
        return program_of(self.profile)

    def _how_to_start(self) -> str:
        if self.socket:
            return "No daemon answers on that socket."
        command = self.program()
        if ProfilePaths(self.profile).database.exists():
            return f"No daemon is running for the profile {self.profile}; start it with: {command} daemon"
        return f"There is no profile {self.profile} yet; make it with: {command} init, start it with: {command} daemon"


def given(params: dict[str, object]) -> dict[str, object]:
    """The parameters that are not None."""
    return {name: value for name, value in params.items() if value is not None}


def json_option(function: F) -> F:
    """``--json`` after the command too."""
    option = click.option(
        "--json", is_flag=True, expose_value=False, callback=_print_json, help="Print the API's objects, one a line."
    )
    return option(function)


def _print_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Invocation).as_json = True


pass_invocation = click.make_pass_decorator(Invocation)
