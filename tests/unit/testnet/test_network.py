"""What a test network makes of a lab that is gone, and of a node that cannot be begun."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from netlab.control import LabError
from netlab.lab import Lab
from p2pchat.cli.sandbox import Interrupts, Sandbox
from testnet.network import Asked, Member, Network

NAME = f"unit-{os.getpid()}"


class GoneLab:
    """A lab whose namespaces are no more; ``has_ended`` as soon as that is known."""

    name = NAME
    has_ended = False

    def addresses(self, host: str) -> list[str]:
        return ["46.10.100.1"]

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        raise FileNotFoundError(2, "No such file or directory")
        yield


@pytest.fixture
def lab() -> GoneLab:
    return GoneLab()


@pytest.fixture
def network(lab: GoneLab, tmp_path: Path) -> Iterator[Network]:
    sandbox = Sandbox(Interrupts(), "never made")
    asked = Asked(NAME, 2, 0, is_in_namespaces=True)
    made = Network(sandbox, tmp_path, asked, cast("Lab", lab), lambda _: None)
    yield made
    made.end()


@pytest.mark.parametrize("serve", [Network.bring_up, Network.serve])
def test_a_lab_that_has_ended_is_told(
    network: Network, lab: GoneLab, serve: Callable[[Network], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.has_ended = True
    monkeypatch.setattr(Member, "begin", lambda *_: None)
    with pytest.raises(LabError, match=f"^The lab '{NAME}' has ended, and all nodes with it.$"):
        serve(network)


def test_a_node_that_could_not_be_begun_is_as_it_was(network: Network) -> None:
    node = network.nodes[0]
    node.state, node.end_s = "ended -9", 7.0
    for begin in (node.make, partial(node.start, network.nodes)):
        with pytest.raises(FileNotFoundError):
            begin()
        assert (node.told()["state"], node.told()["pid"], node.end_s) == ("ended -9", None, 7.0)
