"""``mailbox.use`` and ``mailbox.list`` of a node among others."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from p2pchat.api import calls, schema
from p2pchat.base.errors import UsageError
from p2pchat.control.mailbox_methods import MailboxMethods
from p2pchat.core.mailbox import Grant
from p2pchat.core.mailbox_link import Holder, encode_mailbox_link
from p2pchat.store import contact_peers
from p2pchat.store.db import Tx
from p2pchat.store.offer import Offer
from p2pchat.testing.cluster import Cluster
from tests.sim.box_holder import BoxHolder
from tests.sim.leaving import places, running
from tests.sim.mailboxes import offering
from tests.sim.people import meet
from tests.sim.verifying import NOBODY

pytestmark = pytest.mark.usefixtures("rare_pings")


def link(holder: BoxHolder) -> str:
    return encode_mailbox_link(Holder(holder.node.peer_id, holder.node.addresses()))


def use(**params: object) -> calls.MailboxUse:
    found = schema.parse("mailbox.use", params)
    assert isinstance(found, calls.MailboxUse)
    return found


async def test_use_has_taken_effect_when_it_returns_and_a_key_settles_once(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        holder = BoxHolder(cluster, 1)
        methods = MailboxMethods(running(bob))
        params = use(**{"with": [link(holder)], "idempotency_key": "k"})
        first = await methods.use(params, NOBODY)
        where = await places(alice, "Bob")
        assert where is not None
        assert [each.peer_id for each in where.mailboxes] == [holder.node.peer_id]
        (mailbox,) = first.mailboxes
        assert (mailbox.id, mailbox.state, mailbox.chosen) == (bytes(holder.node.peer_id).hex(), "granted", True)
        assert (mailbox.contact_id, mailbox.quota, first.auto) == (None, 64 << 20, False)
        asked = holder.asked_for(Grant)
        again = await methods.use(params, NOBODY)
        assert (again.mailboxes, again.replayed) == (first.mailboxes, True)
        assert holder.asked_for(Grant) == asked
        with pytest.raises(UsageError) as caught:
            await methods.use(use(auto=True, idempotency_key="k"), NOBODY)
        assert caught.value.error_name == "IDEMPOTENCY_CONFLICT"
        assert (await methods.list(calls.NoParams(), NOBODY)).mailboxes[0].id == mailbox.id


async def test_a_contact_that_has_only_spoken_is_asked_where_it_spoke_from(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        contact = (await bob.contact("Alice")).id

        def forget(tx: Tx) -> None:
            tx.execute("DELETE FROM contact_peer WHERE contact = ?", (contact,))

        await bob.database.run(forget)
        methods = MailboxMethods(running(bob))
        with pytest.raises(UsageError, match="has not been met yet") as unmet:
            await methods.use(use(**{"with": ["Alice"]}), NOBODY)
        assert unmet.value.error_name == "PEER_OFFLINE"
        await bob.database.run(lambda tx: contact_peers.prove(tx, contact, running(alice).network.peer_id))
        with pytest.raises(UsageError, match="its owner has to offer that"):
            await methods.use(use(**{"with": ["Alice"]}), NOBODY)
        await offering(alice, Offer(to="contacts"))
        shown = await methods.use(use(**{"with": ["Alice"]}), NOBODY)
        assert [each.state for each in shown.mailboxes] == ["granted"]


async def test_all_are_given_up_at_once_and_told_of_no_more(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        methods = MailboxMethods(running(bob))
        await methods.use(use(**{"with": [link(BoxHolder(cluster, 1)), link(BoxHolder(cluster, 2))]}), NOBODY)
        shown = await methods.use(use(**{"with": []}), NOBODY)
        assert [each.state for each in shown.mailboxes] == ["ending", "ending"]
        assert await places(alice, "Bob") is None


async def test_what_failed_is_no_result_that_is_repeated(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        _, bob = await meet(cluster)
        good, bad = BoxHolder(cluster, 1), BoxHolder(cluster, 2)
        bad.offers = False
        methods = MailboxMethods(running(bob))
        params = use(**{"with": [link(good), link(bad)], "idempotency_key": "k"})
        with pytest.raises(UsageError) as caught:
            await methods.use(params, NOBODY)
        assert caught.value.data == {"failed": [1]}
        bad.offers = True
        shown = await methods.use(params, NOBODY)
        assert {each.state for each in shown.mailboxes} == {"granted"}
        assert len(shown.mailboxes) == 2


@pytest.mark.parametrize(
    "params",
    [{}, {"with": ["a", "b", "c"]}, {"with": [""]}, {"with": ["\ud800"]}, {"with_": []}, {"auto": "yes"}],
)
def test_what_cannot_be_meant_is_refused(params: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        schema.parse("mailbox.use", params)
    assert caught.value.error_name == "INVALID_PARAMS"


async def test_who_is_not_matched_and_what_is_no_link_of_a_node_are_refused(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        _, bob = await meet(cluster)
        await bob.add("+821055555555", "Carol")
        methods = MailboxMethods(running(bob))
        own = encode_mailbox_link(Holder(bob.network.peer_id, bob.network.addresses()))
        for text, name in (("Carol", "INVALID_PARAMS"), ("Zoe", "CONTACT_NOT_FOUND"), (own, "INVALID_PARAMS")):
            with pytest.raises(UsageError) as caught:
                await methods.use(use(**{"with": [text]}), NOBODY)
            assert caught.value.error_name == name
