"""The lock files are complete, hashed, portable and in step with pyproject.toml and docs/DEPENDENCIES.md."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from libp2p.crypto.keys import KeyType
from libp2p.crypto.serialization import key_type_to_private_key_deserializer, key_type_to_public_key_deserializer

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements-build.lock", "requirements.lock", "requirements-dev.lock", "requirements-fuzz.lock")
OPTIONS = ["--only-binary :all:", "--no-binary python-baseconv", "--no-binary varint"]
# Requirement lines as the resolver writes them: a pin, maybe a marker, then one or more hashes.
ENTRY = re.compile(r"([a-z0-9.-]+)==(\S+)( ; [^\\\n]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)")


def normalised(name: str) -> str:
    """A project's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    """The packages of a lock file and their versions."""
    return {match[1]: match[2] for match in ENTRY.finditer((ROOT / file).read_text(encoding="utf-8"))}


def project() -> dict[str, list[str]]:
    """The names of the direct dependencies: of the program, the developers, the build and the fuzzer."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {"runtime": content["project"]["dependencies"], **content["dependency-groups"]}
    return {
        group: [normalised(re.split(r"[\[<>=]", entry)[0]) for entry in entries] for group, entries in wanted.items()
    }


@pytest.mark.parametrize("file", LOCKS)
def test_lock_holds_hashed_pins_and_nothing_else(file: str) -> None:
    header, *rest = (ROOT / file).read_text(encoding="utf-8").splitlines(keepends=True)
    assert header.startswith("# ")
    assert [line.rstrip() for line in rest[: len(OPTIONS)]] == OPTIONS
    # no index, no address, no path: what is left when the entries are taken away is nothing
    assert ENTRY.sub("", "".join(rest[len(OPTIONS) :])) == ""


def test_lock_holds_every_direct_dependency() -> None:
    wanted = project()
    assert set(wanted["runtime"]) <= set(pins("requirements.lock"))
    assert set(wanted["dev"]) <= set(pins("requirements-dev.lock"))
    assert set(wanted["build"]) == set(pins("requirements-build.lock"))
    assert set(wanted["fuzz"]) == set(pins("requirements-fuzz.lock"))


def test_developers_run_the_locked_versions() -> None:
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


def test_libp2p_is_the_measured_release() -> None:
    assert pins("requirements.lock")["libp2p"] == "0.8.1"


def test_fastecdsa_is_overridden_and_out_of_a_peers_reach() -> None:
    """ADR 0001: libp2p only imports the overridden package; no key that a peer or a file names gets to it."""
    assert int(pins("requirements.lock")["fastecdsa"].partition(".")[0]) >= 4
    for table in (key_type_to_public_key_deserializer, key_type_to_private_key_deserializer):
        assert KeyType.ECC_P256.value not in table


def test_every_dependency_is_accounted_for() -> None:
    text = (ROOT / "docs" / "DEPENDENCIES.md").read_text(encoding="utf-8")
    listed = {normalised(name) for name in re.findall(r"^\| ([A-Za-z0-9._-]+) \|", text, re.MULTILINE)}
    direct = {name for names in project().values() for name in names}
    assert (direct | set(pins("requirements.lock"))) - listed == set()
