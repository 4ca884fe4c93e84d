"""The schedule of ``scripts/endure`` follows from its seed and has everything in it, each within its bounds."""

from __future__ import annotations

import pytest

from tests.endure.schedule import QUICK, SMALL_DISK, Action, Clock, Cut, Fill, Free, Heal, Kill, Scale, Stop, drawn

SEEDS = range(50)


def actions(seed: int, scale: Scale, *, disk: bool = True) -> list[Action]:
    return [moment.action for moment in drawn(seed, scale, disk=disk)]


def test_a_seed_is_a_schedule() -> None:
    assert drawn(1, Scale(), disk=True) == drawn(1, Scale(), disk=True)
    assert drawn(1, Scale(), disk=True) != drawn(2, Scale(), disk=True)


@pytest.mark.parametrize("scale", [Scale(), QUICK], ids=["full", "quick"])
@pytest.mark.parametrize("seed", SEEDS)
def test_everything_happens(seed: int, scale: Scale) -> None:
    found = actions(seed, scale)
    assert sum(len(action.victims) for action in found if isinstance(action, Kill)) == scale.kills
    assert [action.for_s for action in found if isinstance(action, Stop)] == [scale.stop_s]
    assert sum(isinstance(action, Cut) for action in found) == scale.cuts
    assert max(action.after_s for action in found if isinstance(action, Heal)) == scale.cut_s
    assert sum(isinstance(action, Fill) for action in found) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_what_begins_ends_before_it_begins_again(seed: int) -> None:
    cut = full = False
    off: set[int] = set()
    for action in actions(seed, Scale()):
        match action:
            case Cut() | Heal():
                assert cut is isinstance(action, Heal)
                cut = not cut
            case Fill() | Free():
                assert full is isinstance(action, Free)
                assert SMALL_DISK not in off
                full = not full
            case Clock(who, ahead_s):
                assert (who in off) is (ahead_s == 0)
                assert not (full and who == SMALL_DISK)
                off ^= {who}
            case _:
                pass
    assert (cut, full, off) == (False, False, set())


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_disk_the_rest_happens(seed: int) -> None:
    found = actions(seed, Scale(), disk=False)
    assert not [action for action in found if isinstance(action, Fill | Free)]
    assert sum(len(action.victims) for action in found if isinstance(action, Kill)) == Scale().kills
