"""``scripts/audit``: what its exit status says of four locks, with a pip-audit that asks nobody."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.runs import ROOT

pytestmark = pytest.mark.e2e

PYTHON = """#!/bin/sh
test "$1" != -m || { mkdir -p "$3/bin" && cp "$0.pip" "$3/bin/pip" && cp "$0.audit" "$3/bin/pip-audit"; }
"""
AUDIT = """#!/bin/sh
echo asked
for each; do
    case $each in
        --nope) exit 2 ;;
        requirements.lock) exit "$KNOWN" ;;
    esac
done
"""


@pytest.mark.parametrize(
    ("options", "known", "status", "asked"), [([], 0, 0, 4), ([], 1, 1, 4), ([], 7, 1, 4), (["--nope"], 1, 2, 1)]
)
def test_a_wrong_option_is_no_weakness_and_is_said_once(
    options: list[str], known: int, status: int, asked: int, tmp_path: Path
) -> None:
    for name, text in (("python3", PYTHON), ("python3.pip", "#!/bin/sh\n"), ("python3.audit", AUDIT)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o700)
    (tmp_path / "folders").mkdir()
    done = subprocess.run(
        [ROOT / "scripts/audit", *options],
        env={
            "PATH": f"{tmp_path}:{os.environ.get('PATH', os.defpath)}",
            "TMPDIR": str(tmp_path / "folders"),
            "KNOWN": str(known),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout.splitlines().count("asked")) == (status, "", asked)
    assert list((tmp_path / "folders").iterdir()) == []
