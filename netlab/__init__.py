"""A network to test in: namespaces joined by one user-space wire that delays, loses, cuts and translates.

Not part of the wheel. Linux and root only; it needs no netem, no nftables and no veth, only ``/dev/net/tun``.
"""
