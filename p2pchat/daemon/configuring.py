"""``config``: the settings of a profile whose daemon does not run.

The parameters of the method come as JSON on standard input, where nobody else sees them; its result goes to standard
output.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from typing import Final

import msgspec

from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import UsageError
from p2pchat.daemon import profile as profiles
from p2pchat.daemon import settings as brought

_STARTING_S: Final = 2.0
"""How long a daemon that is starting, or ending, may hold the profile."""


def call(arguments: argparse.Namespace) -> None:
    """Carry out ``config.get`` or ``config.set`` on the file."""
    from p2pchat.api import schema
    from p2pchat.api.settings import ConfigGet, ConfigSet
    from p2pchat.daemon.system import profile_lock
    from p2pchat.services.configure import Configuration

    try:
        given = msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, object])
    except msgspec.DecodeError as error:
        raise UsageError("The parameters are no JSON object.", name="INVALID_REQUEST") from error
    params = schema.parse(f"config.{arguments.method}", given)
    paths = ProfilePaths(arguments.profile)
    profiles.require(paths)
    configuration = Configuration(paths.config_file, os.environ, {})
    with ExitStack() as held:
        if isinstance(params, ConfigSet) or brought.are_waiting(paths):
            held.enter_context(profile_lock(paths.lock_file, _STARTING_S))
            brought.put_in_place(paths)
        if isinstance(params, ConfigSet):
            if params.idempotency_key is not None:
                raise UsageError(
                    "idempotency_key: is kept by a daemon that runs, and there is none",
                    data={"param": "idempotency_key"},
                )
            _tell(configuration.set(params.key, params.value))
        else:
            assert isinstance(params, ConfigGet)  # noqa: S101  there are these two
            _tell(configuration.get(params.key))


def _tell(result: msgspec.Struct) -> None:
    print(msgspec.json.encode(result).decode())
