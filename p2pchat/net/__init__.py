"""The network: the only folder that imports libp2p, and no more of it than is used."""

import logging
from sys import modules, version_info
from typing import Final

from p2pchat.net.lean import defer, is_there, load_without

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
    ("libp2p.utils.version", "get_agent_version"),  # the metadata of packages, with it email and zipfile
    ("libp2p.peer.envelope", "Envelope", "seal_record"),  # multicodec, with a table of all codes
    ("libp2p.peer.peer_record", "PeerRecord"),
    ("libp2p.rcmgr.manager", "ResourceLimits", "ResourceManager", "new_resource_manager"),  # psutil
    ("anyio", "TaskInfo"),  # libp2p's services run on trio alone here
    ("anyio.abc", "TaskGroup"),
    ("anyio.streams.memory", "MemoryObjectSendStream"),
    ("prometheus_client", "Counter"),  # a web server with it
    ("multibase",),  # of libp2p's PeerIDs: other ways to write them, and hashes of other kinds
    ("multihash.funcs", "Func", "FuncReg", "IdentityHash", "ShakeHash", "_is_app_specific_func"),
    ("multiaddr.resolvers", "DNSResolver()"),  # dnspython, which net/dnsaddr.py uses where there are names to look up
    ("dns.quic",),
    ("psutil",),
    ("blake3",),
    ("trio._dtls", "DTLSChannel", "DTLSChannelStatistics", "DTLSEndpoint"),
    ("ssl",),  # of trio, for TLS
    ("idna",),  # of trio, for names of hosts that are not ASCII
    ("asyncio",),  # of structlog, for calls out of coroutines
    ("pickle", "PicklingError"),  # of structlog
    ("structlog.threadlocal",),
    ("structlog.dev", "ConsoleRenderer()", "_has_colors", "set_exc_info"),
    ("typing_extensions",),  # of trio_typing
    ("msgspec.inspect",),
    ("msgspec._json_schema", "schema", "schema_components"),
    ("locale",),  # of subprocess and calendar: names of languages
    ("calendar",),  # of protobuf
    ("tempfile", "TemporaryDirectory", "mkdtemp"),  # of ctypes.util, to look for libraries, and of importlib.resources
    ("urllib.parse", "quote_from_bytes", "unquote_to_bytes"),  # of pathlib, for URIs
    ("bz2",),  # of shutil, for archives
    ("lzma",),
    ("google.protobuf.internal.python_message",),  # what the library does in C, in Python
    ("zipfile",),  # of importlib.resources, for packages in archives
    ("cryptography.hazmat.primitives.asymmetric.ec", "SECP224R1", "SECP256R1", "SECP384R1", "SECP521R1"),
    (
        "cryptography.hazmat.primitives.serialization.ssh",  # keys of other kinds, ciphers
        *("SSHCertificate", "SSHCertificateBuilder", "SSHCertificateType", "SSHCertPrivateKeyTypes"),
        *("SSHCertPublicKeyTypes", "SSHPrivateKeyTypes", "SSHPublicKeyTypes", "load_ssh_private_key"),
        *("load_ssh_public_identity", "load_ssh_public_key", "ssh_key_fingerprint"),
    ),
)

if version_info >= (3, 12) and "asyncio" not in modules:
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]  # else each line of a log asks it which task this is
for _module in _UNUSED:
    defer(*_module)
load_without("typing_extensions", "msgspec")  # it takes what it needs of it from Python, too
if is_there("_md5", "_sha1", "_sha3", "_blake2", *(("_sha256", "_sha512") if version_info < (3, 12) else ("_sha2",))):
    load_without("_hashlib", "hashlib", "hmac")  # OpenSSL, once more; for what is short Python's own hashes are as fast
