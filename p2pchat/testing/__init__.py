"""Whole nodes in one process, for simulations and tests, and never in production: for whoever writes such.

Public, and as steady as the rest: :mod:`~p2pchat.testing.cluster` (nodes with their real core and services),
:mod:`~p2pchat.testing.memnet` (their network, with delay, loss and partitions by a seed),
:mod:`~p2pchat.testing.entropy`, :mod:`~p2pchat.testing.schedule`, :mod:`~p2pchat.testing.kem` (a run follows
from its seed), :mod:`~p2pchat.testing.faulty` (disks that fail), and for weeks in minutes
:mod:`~p2pchat.testing.clock` (jumps), :mod:`~p2pchat.testing.once` (signatures are checked once) and
:mod:`~p2pchat.testing.upkeep` (is done rarely).
:mod:`~p2pchat.testing.memlan` is their local network. All waiting is on trio's clock, which jumps over it.

What a network does to what is sent, as far as streams let it be seen: every write takes a *delay* of its own; a lost
packet is a *stall* (``stall``, ``heal``: it comes later, nothing is missing) or, with ``drop_rate``, a *lost*
connection with all that was on its way; writes of different streams and connections *overtake* each other, those of one
stream never; *partitions* are ``cut`` and ``heal``, or ``down`` and ``up``. All of it follows from the seed.

The fakes keep the contracts of what they stand for: one suite, tests/contract, runs against the memory network and
libp2p on loopback (dialling, streams, silence, relayed connections, who may come near, what a node's end does), the
local network and zeroconf, a failing disk and a real file, seeded and real entropy, the counted KEM and ML-KEM. Not in
the fakes, and tested with the real ones alone: how many connections and handshakes a host admits and how fast, how
much a stranger may leave unread on all streams together, and whatever is of bytes on the wire.

Two people, one of whom crashes::

    >>> import trio
    >>> from trio.testing import MockClock
    >>> from p2pchat.testing.cluster import Cluster, eventually
    >>> from p2pchat.testing.schedule import fixed_schedule

    >>> async def two_people() -> list[str]:
    ...     async with Cluster.running(seed=7) as cluster:
    ...         alice = await cluster.add("Alice", "+821012345678")
    ...         bob = await cluster.add("Bob", "+821098765432")
    ...         await alice.add(bob.number, "Bob")
    ...         await bob.add(alice.number, "Alice")
    ...         await alice.send("Bob", "hello")
    ...         await cluster.crash(bob)
    ...         await trio.sleep(3_600)
    ...         await cluster.start(bob)
    ...         async def came() -> bool:
    ...             return bool(await bob.received("Alice"))
    ...         await eventually(came)
    ...         return await bob.received("Alice")

    >>> with fixed_schedule(7):  # and it is the same again with the same seed
    ...     trio.run(two_people, clock=MockClock(autojump_threshold=0))
    ['hello']
"""
