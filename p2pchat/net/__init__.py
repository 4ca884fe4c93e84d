"""The network: the only folder that imports libp2p, and no more of it than is used."""

from typing import Final

from p2pchat.net.lean import defer

_UNUSED: Final[tuple[tuple[str, ...], ...]] = (
    ("libp2p",),
    ("libp2p.transport",),
    ("libp2p.transport.quic",),
    ("libp2p.transport.quic.config", "QUICTransportConfig"),  # ssl
    ("libp2p.transport.quic.stream", "QUICStream"),  # aioquic, pyOpenSSL, X.509
    ("libp2p.security",),
    ("libp2p.identity",),
    ("libp2p.identity.identify",),
    ("libp2p.crypto.rsa", "RSAPrivateKey", "RSAPublicKey"),  # pycryptodome; a peer with such a key has it loaded
    ("libp2p.crypto.secp256k1", "Secp256k1PrivateKey", "Secp256k1PublicKey"),  # coincurve, likewise
    ("libp2p.security.pnet.protector", "new_protected_conn"),
    ("libp2p.utils",),
    ("libp2p.utils.version", "get_agent_version"),  # the metadata of packages, with it email and zipfile
    ("libp2p.rcmgr",),
    ("libp2p.rcmgr.manager", "ResourceLimits", "ResourceManager", "new_resource_manager"),  # psutil
    ("prometheus_client", "Counter"),  # a web server with it
    ("multiaddr.resolvers", "DNSResolver()"),  # dnspython, which net/dnsaddr.py uses where there are names to look up
    ("dns.quic",),
    ("psutil",),
    ("blake3",),
    ("ssl",),  # of trio, for TLS
    ("asyncio",),  # of structlog, for calls out of coroutines
)

for _module in _UNUSED:
    defer(*_module)
