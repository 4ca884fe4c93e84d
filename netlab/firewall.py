"""A stateful firewall: out goes everything, in comes what answers it. For IPv4 and IPv6, without translation."""

from __future__ import annotations

from typing import Final

from netlab.nat import Lifetimes
from netlab.packets import Flow, flow_of, quoted

_SWEEP_S: Final = 30.0


class Firewall:
    """One of them; what it refuses vanishes without an answer."""

    def __init__(self, lifetimes: Lifetimes) -> None:
        self.refused = 0
        self._lifetimes = lifetimes
        self._until_s: dict[Flow, float] = {}
        self._swept_s = 0.0

    def outbound(self, packet: bytes, now: float) -> bytes | None:
        """Remember the flow, by what its answers look like."""
        flow = flow_of(packet)
        if flow is not None:
            self._sweep(now)
            answer = flow.reversed()
            until_s = now + self._lifetimes.of(flow.protocol, is_answered=False)
            self._until_s[answer] = max(until_s, self._until_s.get(answer, 0.0))
        return packet

    def inbound(self, packet: bytes, now: float) -> bytes | None:
        """The packet if it answers something, or is an error about it; else None."""
        flow = flow_of(packet)
        if flow is None:
            inner = quoted(packet)
            sent = None if inner is None else flow_of(inner)
            is_known = sent is not None and now < self._until_s.get(sent.reversed(), 0.0)
        else:
            is_known = now < self._until_s.get(flow, 0.0)
            if is_known:
                self._until_s[flow] = now + self._lifetimes.of(flow.protocol, is_answered=True)
        if is_known:
            return packet
        self.refused += 1
        return None

    def forget_all(self) -> None:
        """As after a restart of the box."""
        self._until_s.clear()

    def _sweep(self, now: float) -> None:
        if now >= self._swept_s + _SWEEP_S:
            self._swept_s = now
            self._until_s = {flow: until_s for flow, until_s in self._until_s.items() if now < until_s}
