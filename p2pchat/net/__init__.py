"""The network: the only folder that imports libp2p, and no more of it than is used."""

from p2pchat.net.lean import defer

defer("libp2p")
defer("libp2p.transport")
