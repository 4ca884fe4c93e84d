"""What a device does that is told of another of its root: devices.json (PROTOCOL.md 5.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p2pchat.base.errors import DecodeError
from p2pchat.core.wire import Device, decode_frame, encode_frame
from p2pchat.services import device
from p2pchat.store import meta
from p2pchat.store.db import Tx
from tests.unit.services.receiving import Receiving
from tests.vectors import independent_device
from tests.vectors.test_sessions import cases, identity_of

Case = dict[str, Any]
VECTORS: dict[str, Any] = json.loads(independent_device.PATH.read_text(encoding="utf-8"))


def test_the_second_implementation_makes_these() -> None:
    assert independent_device.make() == VECTORS


@pytest.mark.parametrize("case", cases(VECTORS["cases"]))
async def test_told(case: Case) -> None:
    told = decode_frame(encode_frame(Device(bytes.fromhex(case["cert"]))))
    assert isinstance(told, Device)
    own = Receiving()
    own.now_ms = case["now_ms"]
    own.context.identity = identity_of(VECTORS["own"])

    def heed(tx: Tx) -> int | None:
        meta.save_before(tx, meta.Before(given_up_ms=(VECTORS["given_up_ms"],)))
        device.heed(tx, own.context, told.cert)
        return meta.load_replaced(tx)

    if case["expect"] == "decode":
        with pytest.raises(DecodeError):
            await own.db.run(heed)
    else:
        newer_ms = own.context.identity.cert.epoch_ms + 1
        assert await own.db.run(heed) == (newer_ms if case["expect"] == "replaced" else None)
        assert len(await own.rows("event")) == (case["expect"] == "replaced")
    await own.db.close()
