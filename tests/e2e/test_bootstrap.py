"""scripts/p2pchat and scripts/bootstrap.py on a checkout of their own, with a lock of two tiny packages and no network.

The real lock is installed by CI itself: .ci/run starts from nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")]

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys
import tiny
print(json.dumps({"arguments": sys.argv[1:], "isolated": sys.flags.isolated, "prefix": sys.prefix}))
sys.exit(7)
"""
DEADLINE_S = 60.0


def wheel(folder: Path, name: str) -> str:
    """Write a wheel with one empty module; returns its lock entry."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},\n"
        for path, text in files.items()
    )
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(member, text)
    return f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def command(folder: Path, name: str, text: str) -> None:
    """Write a shell script that is found before the system's programs."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


class Checkout:
    """A folder with the real scripts, a tiny lock and a program that reports how it was started."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.commands = folder / "bin"
        self.temporary = folder / "tmp"
        self.home = folder / "home"
        wheels = folder / "wheels"
        program = self.root / "p2pchat" / "cli"
        for path in (self.root / "scripts", program, self.commands, self.temporary, self.home, wheels):
            path.mkdir(parents=True)
        for name in ("p2pchat", "lib.sh", "bootstrap.py"):
            source = ROOT / "scripts" / name
            (self.root / "scripts" / name).write_bytes(source.read_bytes())
            (self.root / "scripts" / name).chmod(stat.S_IMODE(source.stat().st_mode))
        (program.parent / "__init__.py").touch()
        (program / "__main__.py").write_text(PROGRAM, encoding="utf-8")
        (self.root / "requirements-build.lock").write_text(wheel(wheels, "tool"), encoding="ascii")
        self.lock = self.root / "requirements.lock"
        self.lock.write_text(wheel(wheels, "tiny"), encoding="ascii")
        command(self.commands, "python3", f'exec "{sys.executable}" "$@"')
        self.environment = {
            "PATH": f"{self.commands}:/usr/bin:/bin",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": wheels.as_uri(),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, *arguments: str, program: Path | None = None, cwd: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [program or self.root / "scripts" / "p2pchat", *arguments],
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, program: Path | None = None, cwd: Path | None = None) -> tuple[int, str, str]:
        """Run to the end; returns exit status, stdout and stderr."""
        process = self.start(*arguments, program=program, cwd=cwd)
        out, err = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, err

    def files(self) -> set[Path]:
        """Every path of the checkout, the home and the folder for temporary files."""
        return {path for folder in (self.root, self.home, self.temporary) for path in folder.rglob("*")}

    def processes(self) -> list[str]:
        """The command lines of live processes that name the checkout."""
        found: list[str] = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            if str(self.root) in line:
                found.append(line)
        return found


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.slow
def test_first_run_builds_later_ones_only_start_the_program(checkout: Checkout, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(checkout.root / "scripts" / "p2pchat")
    status, out, err = checkout.run("say", "two words", "", program=link, cwd=tmp_path)
    assert (status, json.loads(out)) == (
        7,
        {"arguments": ["say", "two words", ""], "isolated": 1, "prefix": str(checkout.root / ".venv")},
    )
    assert err.splitlines()[0] == "p2pchat: installing 1 locked packages into .venv …"
    assert not any(path for folder in (checkout.home, checkout.temporary) for path in folder.iterdir())

    command(checkout.commands, "python3", "exit 1")  # a ready environment needs no other Python
    assert checkout.run("again", cwd=tmp_path, program=link)[::2] == (7, "")

    command(checkout.commands, "python3", f'exec "{sys.executable}" "$@"')
    os.utime(checkout.lock, (time.time() + 60, time.time() + 60))
    assert checkout.run("touched")[::2] == (7, "")  # the same content is not installed again

    checkout.lock.write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n", encoding="ascii")
    os.utime(checkout.lock, (time.time() + 120, time.time() + 120))
    status, out, err = checkout.run("changed")
    assert (status, out) == (69, "")
    assert "DO NOT MATCH THE HASHES" in err
    assert not (checkout.root / ".venv").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_build_leaves_no_process_and_no_file(checkout: Checkout, number: signal.Signals) -> None:
    before = checkout.files()
    with socket.create_server(("127.0.0.1", 0)) as silent_index:
        silent_index.settimeout(DEADLINE_S)
        del checkout.environment["PIP_NO_INDEX"]
        checkout.environment["PIP_INDEX_URL"] = f"http://127.0.0.1:{silent_index.getsockname()[1]}/simple"
        process = checkout.start("never")
        connection, _ = silent_index.accept()  # the installer is in the middle of its work
        with connection:
            assert checkout.files() > before
            process.send_signal(number)
            out, _ = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (-number, "")
    assert checkout.files() == before
    assert checkout.processes() == []


def test_python_without_ensurepip_names_the_package_to_install(checkout: Checkout) -> None:
    before = checkout.files()
    hide = (
        "import importlib.util as util, runpy, sys; find = util.find_spec; "
        "util.find_spec = lambda name: None if name == 'ensurepip' else find(name); "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    real = f'exec "{sys.executable}"'
    command(checkout.commands, "python3", f'[ "$2" = -c ] && {real} "$@"\nshift\n{real} -I -c "{hide}" "$@"')
    status, out, err = checkout.run("never")
    assert (status, out) == (69, "")
    assert len(err.splitlines()) == 1
    assert "sudo apt install python3" in err
    assert "-venv" in err
    assert checkout.files() == before


def test_without_a_suitable_python_it_says_what_to_install(checkout: Checkout) -> None:
    before = checkout.files()
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        command(checkout.commands, name, "exit 1")
    status, out, err = checkout.run("never")
    assert (status, out) == (69, "")
    assert err == "p2pchat: Python 3.11, 3.12 or 3.13 is needed; install it: sudo apt install python3 python3-venv\n"
    assert checkout.files() == before
