"""What is left of profiles that were not finished."""

from __future__ import annotations

from pathlib import Path

from p2pchat.api.paths import ProfilePaths
from p2pchat.core.crypto import Entropy
from p2pchat.daemon import profile as profiles
from p2pchat.daemon.system import SystemEntropy


def made(paths: ProfilePaths, entropy: Entropy) -> None:
    profiles.create(paths, name="A", number=None, region=None, passphrase=None, entropy=entropy, now_ms=1)


def test_what_a_killed_init_or_restore_has_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """It may hold a whole conversation, and with no passphrase the key beside it."""
    paths, other = (ProfilePaths(name, {"P2PCHAT_HOME": str(tmp_path)}) for name in ("work", "work2"))
    entropy = SystemEntropy()
    made(paths, entropy)
    made(other, entropy)
    killed, others = (each.data_dir.with_name(f".{each.profile}.new-abc") for each in (paths, other))
    for building in (killed, others):
        building.mkdir()
        (building / "key").write_bytes(b"the key file")
        (building / "p2pchat.db").write_bytes(b"x")
    with (killed / "key").open("rb") as key:
        profiles.tidy(paths)
        assert key.read() == bytes(12)
    assert sorted(tmp_path.joinpath("data").iterdir()) == [others, paths.data_dir, other.data_dir]
    assert profiles.unlock(paths, None).take()


def test_a_link_of_such_a_name_is_left_alone(tmp_path: Path) -> None:
    paths = ProfilePaths("work", {"P2PCHAT_HOME": str(tmp_path)})
    made(paths, SystemEntropy())
    strange = paths.data_dir.with_name(".work.new-abc")
    strange.symlink_to(paths.data_dir)
    profiles.tidy(paths)
    assert strange.is_symlink()
    assert profiles.unlock(paths, None).take()
