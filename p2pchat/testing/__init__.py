"""Whole nodes in one process, for simulations and tests, and never in production: for whoever writes such.

Public, and as steady as the rest: :mod:`~p2pchat.testing.cluster` (nodes with their real core and services),
:mod:`~p2pchat.testing.memnet` (their network, with delay, loss and partitions by a seed),
:mod:`~p2pchat.testing.entropy`, :mod:`~p2pchat.testing.schedule`, :mod:`~p2pchat.testing.kem` (a run follows
from its seed), :mod:`~p2pchat.testing.faulty` (disks that fail), and for weeks in minutes
:mod:`~p2pchat.testing.clock` (jumps), :mod:`~p2pchat.testing.once` (signatures are checked once) and
:mod:`~p2pchat.testing.upkeep` (is done rarely).
All waiting is on trio's clock, which jumps over it. Two people, one of whom crashes::

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
