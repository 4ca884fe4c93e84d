"""What ``net.dial`` refuses before anybody is dialled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from p2pchat.api import net_calls
from p2pchat.base.errors import UsageError
from p2pchat.control.net_methods import NetMethods
from p2pchat.control.server import Connection
from p2pchat.net.addresses import format_address, parse_address, peer_id_from_key
from p2pchat.services.context import Context, Reach

OWN = peer_id_from_key(bytes(32))
NOWHERE = parse_address("/ip4/127.0.0.1/tcp/1")[0]


@pytest.mark.parametrize("method", ["dial", "bootstrap"])
async def test_ones_own_address_is_no_other_node(method: str) -> None:
    context = cast(
        Context, SimpleNamespace(network=SimpleNamespace(peer_id=OWN), replaced_ms=None, texts=None, reach=Reach())
    )
    ask = getattr(NetMethods(context), method)
    with pytest.raises(UsageError, match="this node itself") as refused:
        await ask(net_calls.NetDial(address=format_address(NOWHERE, OWN)), cast(Connection, None))
    assert refused.value.error_name == "INVALID_PARAMS"
