"""``config.get`` and ``config.set`` of a real daemon, locked and unlocked, and after it has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2pchat.api.errors import ApiError
from p2pchat.client.blocking import Client
from tests.e2e.daemons import Daemon, objects, p2pchat

pytestmark = pytest.mark.e2e


def refused(daemon: Daemon, **params: object) -> str:
    with pytest.raises(ApiError) as caught, Client(daemon.socket) as client:
        client.call("config.set", **params)
    return caught.value.error_name


def told(daemon: Daemon) -> list[str]:
    """The settings of whose change the log tells."""
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines() if line.startswith("{")]
    return [line["reason"] for line in lines if line["event"] == "config.changed"]


def test_settings_change_while_it_runs_locked_or_not_and_are_there_at_the_next_start(tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("canary\n")
    bob = Daemon(tmp_path / "home", None, passphrase)
    file = bob.home / "config" / "default.toml"
    try:
        bob.start("--locked")
        setting = bob.call("config.set", key="log.level", value="debug")
        assert (setting["value"], setting["source"], setting["restart"]) == ("debug", "file", False)
        assert told(bob) == ["log.level"]
        assert refused(bob, key="log.level", value="error", idempotency_key="k") == "LOCKED"
        assert bob.call("config.get", key="listen")["settings"][0]["by"] == "--listen"

        assert p2pchat(bob.home, "unlock", "--passphrase-file", str(passphrase)).returncode == 0
        first = bob.call("config.set", key="relay.use", value=False, idempotency_key="k")
        assert first["restart"] is True
        bob.call("config.set", key="relay.use", value=True)
        again = bob.call("config.set", key="relay.use", value=False, idempotency_key="k")
        assert again == first | {"replayed": True}
        assert bob.call("config.get", key="relay.use")["settings"][0]["value"] is True  # as was said last
        assert refused(bob, key="relay.use", value=True, idempotency_key="k") == "IDEMPOTENCY_CONFLICT"
        assert refused(bob, key="net.mode", value="nobody") == "INVALID_PARAMS"
        done = p2pchat(bob.home, "config", "set", "log.format", "text")
        assert (done.returncode, done.stderr) == (0, b"log.format is text\n")
        p2pchat(bob.home, "config", "set", "log.level", "error")
        assert "config.changed" in bob.log.read_text().splitlines()[-1]
        assert not bob.log.read_text().splitlines()[-1].startswith("{")
        assert file.read_text() == '[log]\nlevel = "error"\nformat = "text"\n\n[relay]\nuse = true\n'
        assert bob.stop() == 0
        assert "node.stopping" not in bob.log.read_text()  # below that level

        done = p2pchat(bob.home, "config", "set", "--unset", "log.level")
        assert (done.returncode, done.stderr) == (0, b"log.level is info, from the next start on\n")
        bob.start("--locked")
        shown = {each["key"]: each for each in objects(p2pchat(bob.home, "config", "get", "--json"))}
        assert (shown["log.level"]["source"], shown["log.format"]["value"]) == ("default", "text")
        assert not any(each["restart"] for each in shown.values())
        file.write_text("[relay]\nuze = true\n")
        assert bob.stop() == 0
        refusal = p2pchat(bob.home, "daemon", "--locked")
        assert refusal.returncode == 65
        assert f"{file}, line 2: unknown key 'relay.uze'. Did you mean relay.use?" in refusal.stderr.decode()
    finally:
        if bob.process is not None and bob.process.poll() is None:
            bob.kill()
