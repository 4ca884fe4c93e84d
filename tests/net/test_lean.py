"""Of libp2p only what is used is loaded, and the rest still is when somebody asks for it: in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(program: str) -> list[str]:
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return result.stdout.split()


UNUSED = [
    "Crypto",
    "OpenSSL",
    "_bz2",
    "_hashlib",
    "_lzma",
    "_pickle",
    "_ssl",
    "aioquic",
    "anyio._core._tasks",
    "asyncio.base_events",
    "blake3.blake3",
    "cffi",
    "coincurve",
    "cryptography.hazmat._oid",
    "cryptography.hazmat.primitives.asymmetric.dsa",
    "cryptography.x509",
    "difflib",
    "dns.resolver",
    "email",
    "google.protobuf.text_format",
    "http.client",
    "idna.core",
    "importlib.metadata",
    "libp2p.host",
    "libp2p.identity.identify.identify",
    "libp2p.kad_dht",
    "libp2p.rcmgr.memory_stats",
    "libp2p.relay.circuit_v2",
    "libp2p.security.tls",
    "libp2p.transport.quic.connection",
    "libp2p.transport.tcp",
    "libp2p.transport.websocket",
    "miniupnpc",
    "mmh3",
    "morphys",
    "multicodec",
    "phonenumbers.phonenumberutil",
    "prometheus_client.exposition",
    "psutil._pslinux",
    "pygments",
    "requests",
    "rich.panel",
    "urllib.request",
    "wsproto",
    "zeroconf",
]
MEETING = f"""
import sys
import p2pchat.daemon.node
import trio
from p2pchat.net.addresses import parse_address
from p2pchat.net.libp2p_host import Libp2pHost

async def echo(stream):
    await stream.write(await stream.read(100))
    await stream.close()

async def meet():
    here = [parse_address("/ip4/127.0.0.1/tcp/0")[0]]
    async with Libp2pHost.listen(b"1" * 32, here, now=lambda: 1.7e9) as a:
        async with Libp2pHost.listen(b"2" * 32, here, now=lambda: 1.7e9) as b:
            b.handle("/echo", echo)
            await a.dial(b.peer_id, b.listening())
            stream = await a.open(b.peer_id, "/echo")
            await stream.write(b"heard")
            print((await stream.read(100)).decode())
            await stream.close()

trio.run(meet)
print(*[name for name in {UNUSED!r} if name in sys.modules])
put_off = [sys.modules[name] for name, *_ in p2pchat.net._UNUSED if name in sys.modules]
print(*[module.__name__ for module in put_off if "__getattr__" not in vars(module)])
"""


def test_a_daemon_that_talks_loads_nothing_it_does_not_use() -> None:
    assert run(MEETING) == ["heard"]


def test_what_is_listed_as_unused_exists() -> None:
    """So that a name that a new release has not any more is noticed."""
    program = f"""
from importlib.util import find_spec
print(*[name for name in {UNUSED!r} if find_spec(name) is None])
"""
    assert run(program) == []


KEYS = """
import sys
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.peer.id import ID
def kept(pair, kind):
    key = deserialize_public_key(pair.public_key.serialize())
    return key == pair.public_key and isinstance(key, kind) and ID.from_pubkey(key) == ID.from_pubkey(pair.public_key)
"""


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import libp2p; print(libp2p.new_host.__name__)", ["new_host"]),
        ("from libp2p import new_swarm; print(new_swarm.__module__)", ["libp2p"]),
        ("from libp2p.transport import TCP; print(TCP.__module__)", ["libp2p.transport.tcp.tcp"]),
        (
            "from libp2p import transport, host; print(transport.__name__, host.__name__)",
            ["libp2p.transport", "libp2p.host"],
        ),
        ("import libp2p; print(getattr(libp2p, 'nothing_of_that_name', 'none'))", ["none"]),
        (f"{KEYS}from libp2p.crypto import rsa; print(kept(rsa.create_new_key_pair(), rsa.RSAPublicKey))", ["True"]),
        (
            f"{KEYS}import libp2p.crypto.secp256k1 as k; print(kept(k.create_new_key_pair(), k.Secp256k1PublicKey))",
            ["True"],
        ),
        (
            "import sys; from libp2p.network import swarm;"
            "print(isinstance(1, swarm.ResourceManager), 'psutil._pslinux' in sys.modules)",
            ["False", "False"],
        ),
        (
            "from libp2p.network.swarm import ResourceManager; made = ResourceManager();"
            "print(isinstance(made, ResourceManager), issubclass(type(made), ResourceManager))",
            ["True", "True"],
        ),
        (
            "import sys; from multiaddr.resolvers import DNSResolver; made = DNSResolver();"
            "print('dns.resolver' in sys.modules, callable(made.resolve), 'dns.resolver' in sys.modules)",
            ["False", "True", "True"],
        ),
        ("import libp2p.identity.identify.identify as i; print(i.AGENT_VERSION)", ["py-libp2p/0.8.1"]),
        (
            "import msgspec; kind = msgspec.inspect.type_info(list[int]);"
            "print(type(kind.item_type).__name__, msgspec.json.schema(int)['type'])",
            ["IntType", "integer"],
        ),
        ("import trio_typing, typing_extensions; print(typing_extensions.get_type_hints(trio_typing))", ["{}"]),
        (
            "import io, structlog; out = io.StringIO();"
            "structlog.configure(logger_factory=structlog.PrintLoggerFactory(out));"
            "structlog.get_logger().info('told', to='whom'); print('told' in out.getvalue())",
            ["True"],
        ),
        (
            "import locale, calendar, tempfile, urllib.parse;"
            "print(locale.normalize('ko_kr'), calendar.isleap(2024), urllib.parse.unquote('%41'),"
            "tempfile.gettempprefix())",
            ["ko_KR.eucKR", "True", "A", "tmp"],
        ),
        ("import psutil; print(psutil.Process().is_running())", ["True"]),
        (
            "import anyio; print(anyio.run(anyio.sleep, 0, backend='trio'), anyio.TaskInfo.__name__)",
            ["None", "TaskInfo"],
        ),
        (
            "import pickle; print(pickle.loads(pickle.dumps([1])), pickle.PicklingError.__mro__[-2])",
            ["[1]", "<class", "'BaseException'>"],
        ),
        ("import multihash; print(multihash.digest(b'x', 'sha2-256').length)", ["32"]),
        ("import multibase; print(multibase.decode(multibase.encode('base58btc', b'x')))", ["b'x'"]),
        ("from libp2p.peer.envelope import Envelope; print(callable(Envelope.marshal_envelope))", ["True"]),
        (
            "from cryptography.hazmat.primitives.asymmetric import ec;"
            "print(ec.generate_private_key(ec.SECP256R1()).curve.name)",
            ["secp256r1"],
        ),
        (
            "from cryptography.hazmat.primitives.serialization import load_ssh_public_key\n"
            "try: load_ssh_public_key(b'junk')\n"
            "except ValueError: print('refused')",
            ["refused"],
        ),
        (
            "import p2pchat.daemon, phonenumbers;"
            "print(phonenumbers.is_valid_number(phonenumbers.parse('010-1234-5678', 'KR')))",
            ["True"],
        ),
        (
            "import hashlib, hmac; print(set(hashlib.algorithms_guaranteed) <= set(hashlib.algorithms_available),"
            "hashlib.new('sha3_256', b'x').digest() == hashlib.sha3_256(b'x').digest(),"
            "len(hmac.digest(b'k', b'x', 'sha512')))",
            ["True", "True", "64"],
        ),
        (
            "import io, sys, p2pchat.daemon, structlog; out = io.StringIO()\n"
            "try: int('x')\n"
            "except ValueError: structlog.dev.rich_traceback(out, sys.exc_info())\n"
            "print('Traceback' in out.getvalue(), 'invalid literal' in out.getvalue())",
            ["True", "True"],
        ),
    ],
)
def test_what_is_asked_for_is_there(program: str, expected: list[str]) -> None:
    assert run(f"import p2pchat.net.libp2p_host\n{program}") == expected


def test_a_module_that_is_put_off_and_not_installed_is_not_found() -> None:
    program = """
from p2pchat.net.lean import defer
defer("nothing_of_that_name", "Thing")
defer("trio.nothing_of_that_name", "Thing")
for name in ("nothing_of_that_name", "trio.nothing_of_that_name"):
    try: __import__(name)
    except ModuleNotFoundError as error: print(error.name)
"""
    assert run(program) == ["nothing_of_that_name", "trio.nothing_of_that_name"]


def test_hashes_of_openssl_are_left_to_who_had_them_before_and_found_by_who_needs_them() -> None:
    program = "import hashlib, p2pchat.net; print(hasattr(hashlib, 'scrypt'))"
    assert run(program) == ["True"]
    assert run("import p2pchat.net, _hashlib; print(_hashlib.openssl_sha256(b'').digest_size)") == ["32"]


def test_what_was_imported_before_is_left_alone() -> None:
    program = "import libp2p; before = vars(libp2p).copy(); import p2pchat.net; print(vars(libp2p) == before)"
    assert run(program) == ["True"]
