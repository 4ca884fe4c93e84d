"""Own mailboxes at rest: tokens, keys, bundles, and what clocks do to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from p2pchat.base.ids import Address, PeerId
from p2pchat.base.limits import MAILBOX_KEYS, OWN_MAILBOXES_ENDING, PREKEYS, REUSABLE_BUNDLES
from p2pchat.core.params import DAY_S, PRODUCTION
from p2pchat.core.prekeys import PrekeySecret, make_reusable_bundle, make_signed_prekey, open_bundle
from p2pchat.store import contact_peers, contacts, own_mailbox, prekeys
from p2pchat.store.own_mailbox import OwnMailbox
from tests.unit.store.test_erasure import ENTROPY, ME, File, give

PEERS = [PeerId(b"\0\x24\x08\1\x12\x20" + bytes([number]) * 32) for number in range(20)]
ADDRESS = Address(b"\4\x0a\0\0\1\6\x0f\xa1")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    opened = File(tmp_path / "x.db")
    yield opened
    opened.connection.close()


def kept(file: File, peer: PeerId = PEERS[0], *, chosen: bool = True) -> OwnMailbox:
    own_mailbox.keep(file.tx, replace(own_mailbox.make(peer, (ADDRESS,), ENTROPY, chosen=chosen), quota=5))
    found = own_mailbox.at(file.tx, peer)
    assert found is not None
    return found


def again(file: File, mailbox: OwnMailbox) -> OwnMailbox:
    found = own_mailbox.get(file.tx, mailbox.id)
    assert found is not None
    return found


def told(file: File) -> list[bytes]:
    return [each.token for each in own_mailbox.told(file.tx)]


def test_what_is_told_is_in_use_and_at_most_two_and_what_is_silent_comes_last(file: File) -> None:
    first, second, third = (kept(file, peer) for peer in PEERS[:3])
    assert told(file) == [first.token, second.token]
    own_mailbox.failed(file.tx, first.id, 3 * 3600)
    assert told(file) == [second.token, third.token]
    own_mailbox.heard(file.tx, first.id)
    assert told(file) == [first.token, second.token]
    own_mailbox.give_up(file.tx, first.id, PRODUCTION)
    assert told(file) == [second.token, third.token]
    own_mailbox.keep(file.tx, again(file, first))
    assert told(file) == [first.token, second.token]
    assert again(file, first).seed == first.seed


def test_a_new_token_is_told_once_it_is_granted_and_the_earlier_one_until_then_while_it_is_good(file: File) -> None:
    old = kept(file)
    own_mailbox.draw_tokens(file.tx, ENTROPY, 15 * DAY_S)
    new = again(file, old)
    assert new.token != old.token
    assert new.tokens(file.now_s) == (new.token, old.token)
    assert told(file) == [old.token]
    file.now_s += 15 * DAY_S
    assert told(file) == []
    assert new.tokens(file.now_s) == (new.token,)
    file.now_s -= 1
    assert own_mailbox.granted(file.tx, new, 5)
    assert told(file) == [new.token]
    assert not own_mailbox.granted(file.tx, new, 5)  # nothing new to tell
    file.now_s += 1
    assert own_mailbox.is_due(again(file, old), 0, file.now_s, PRODUCTION)  # the earlier one is to go
    own_mailbox.granted(file.tx, again(file, old), 5)
    assert again(file, old).earlier_token is None


def test_the_token_that_is_honoured_stays_when_two_are_drawn_before_the_holder_is_reached(file: File) -> None:
    old = kept(file)
    own_mailbox.draw_tokens(file.tx, ENTROPY, 15 * DAY_S)
    own_mailbox.draw_tokens(file.tx, ENTROPY, 15 * DAY_S)
    assert told(file) == [old.token]


def test_after_a_parting_no_token_is_good_until_a_new_one_is_granted(file: File) -> None:
    old = kept(file)
    own_mailbox.draw_tokens(file.tx, ENTROPY, 15 * DAY_S)
    between = again(file, old)
    own_mailbox.draw_tokens(file.tx, ENTROPY, 0)
    new = again(file, old)
    assert new.tokens(file.now_s) == (new.token,)
    assert told(file) == []
    assert not own_mailbox.granted(file.tx, between, 5)  # which was on its way meanwhile
    assert told(file) == []
    assert own_mailbox.granted(file.tx, new, 5)
    assert told(file) == [new.token]


def test_a_holder_that_does_not_renew_is_told_of_no_more(file: File) -> None:
    known = kept(file)
    assert own_mailbox.refused(file.tx, known.id)
    assert told(file) == []
    assert not own_mailbox.refused(file.tx, known.id)


def test_grant_is_due_daily_with_a_new_bundle_and_after_a_clock_that_was_ahead(file: File) -> None:
    known = kept(file)

    def due(since_s: int = 0) -> bool:
        return own_mailbox.is_due(known, since_s, file.now_s, PRODUCTION)

    assert not due()
    assert due(since_s=file.now_s + 1)
    file.now_s += DAY_S - 1
    assert not due()
    file.now_s += 1
    assert due()
    file.now_s -= 2 * DAY_S
    assert due()


def test_with_a_contact_the_mailboxes_at_its_nodes_go(file: File) -> None:
    contact_peers.save(file.tx, 3, PEERS[1], (ADDRESS,), bytes(32), 1)
    stays, goes = kept(file, PEERS[0]), kept(file, PEERS[1])
    assert (again(file, stays).contact, again(file, goes).contact) == (None, 3)
    own_mailbox.part(file.tx, 3)
    assert own_mailbox.everyone(file.tx) == [stays]
    contact_peers.save(file.tx, 4, PEERS[0], (ADDRESS,), bytes(32), 1)  # it turns out to be somebody's
    own_mailbox.name_contacts(file.tx)
    contacts.remove(file.tx, 4)
    assert own_mailbox.everyone(file.tx) == []


def test_a_node_of_somebody_blocked_is_remembered_as_long_as_that_lasts(file: File) -> None:
    contact_peers.save(file.tx, 3, PEERS[1], (ADDRESS,), bytes(32), 1)
    contacts.block(file.tx, 3)
    assert contact_peers.blocked(file.tx) == {PEERS[1]}
    contacts.set_pending(file.tx, 3, file.now_s + DAY_S)
    assert contact_peers.blocked(file.tx) == set()


def test_those_that_were_given_up_end_and_are_bounded_whatever_the_clock_was(file: File) -> None:
    for peer in PEERS[: OWN_MAILBOXES_ENDING + 3]:
        own_mailbox.give_up(file.tx, kept(file, peer).id, PRODUCTION)
    assert len(own_mailbox.everyone(file.tx)) == OWN_MAILBOXES_ENDING
    file.now_s -= 400 * DAY_S
    own_mailbox.prune(file.tx, PRODUCTION)
    assert {each.ends_s for each in own_mailbox.everyone(file.tx)} == {file.now_s + 3 * DAY_S}
    file.now_s += 4 * DAY_S
    own_mailbox.prune(file.tx, PRODUCTION)
    assert own_mailbox.everyone(file.tx) == []


def test_a_key_is_told_for_a_week_and_opens_for_22_days_and_then_it_is_gone_from_the_file(file: File) -> None:
    first = own_mailbox.newest_key(file.tx, ENTROPY, PRODUCTION)
    file.now_s += 7 * DAY_S - 1
    assert own_mailbox.newest_key(file.tx, ENTROPY, PRODUCTION) == first
    file.now_s += 1
    second = own_mailbox.newest_key(file.tx, ENTROPY, PRODUCTION)
    assert own_mailbox.kept_keys(file.tx) == (second, first)
    file.now_s += 15 * DAY_S - 1
    own_mailbox.prune(file.tx, PRODUCTION)
    file.settle()
    assert file.holds({first.secret})
    file.now_s += 1
    own_mailbox.prune(file.tx, PRODUCTION)
    file.settle()
    assert not file.holds({first.secret})
    assert own_mailbox.kept_keys(file.tx) == (second,)


def test_a_key_of_a_clock_that_was_ahead_is_not_told_and_goes(file: File) -> None:
    good = own_mailbox.newest_key(file.tx, ENTROPY, PRODUCTION)
    file.now_s += 400 * DAY_S
    ahead = own_mailbox.newest_key(file.tx, ENTROPY, PRODUCTION)
    file.now_s -= 400 * DAY_S
    assert own_mailbox.newest_key(file.tx, ENTROPY, PRODUCTION) == good
    assert ahead in own_mailbox.kept_keys(file.tx)
    own_mailbox.prune(file.tx, PRODUCTION)
    file.settle()
    assert not file.holds({ahead.secret})
    assert own_mailbox.kept_keys(file.tx) == (good,)


def test_partings_within_one_second_draw_a_key_each_and_keep_a_bounded_number(file: File) -> None:
    drawn = [own_mailbox.draw_key(file.tx, ENTROPY, PRODUCTION) for _ in range(MAILBOX_KEYS + 10)]
    assert own_mailbox.newest_key(file.tx, ENTROPY, PRODUCTION) == drawn[-1]
    newest = tuple(reversed(drawn[-8:]))  # each of them is tried for every box
    assert own_mailbox.kept_keys(file.tx) == newest
    own_mailbox.prune(file.tx, PRODUCTION)
    assert own_mailbox.kept_keys(file.tx) == newest
    file.settle()
    assert not file.holds({pair.secret for pair in drawn[:10]})


def reusable(file: File) -> PrekeySecret:
    spk = make_signed_prekey(ENTROPY, file.now_s)
    prekeys.add_spk(file.tx, spk)
    secret = make_reusable_bundle(ME, spk, ENTROPY, file.now_s, PRODUCTION)
    prekeys.add_reusable(file.tx, secret)
    return secret


def test_a_reusable_bundle_is_given_out_for_a_week_and_taken_for_22_days_however_often_it_was(file: File) -> None:
    secret = reusable(file)
    bundle = open_bundle(secret.bundle, ME.cert.root, file.now_s, PRODUCTION)
    assert (bundle.opk, bundle.exp - bundle.iat) == (None, 7 * DAY_S)
    for number in range(3):
        prekeys.accepted(file.tx, secret, bytes([number]) * 16, PRODUCTION)
    file.now_s += 22 * DAY_S - 1
    prekeys.prune(file.tx, PRODUCTION)
    assert prekeys.take(file.tx, secret.prekey_id, file.now_s) == secret
    assert all(prekeys.is_replayed(file.tx, bytes([number]) * 16) for number in range(3))
    file.now_s += 2
    assert prekeys.take(file.tx, secret.prekey_id, file.now_s) is None
    prekeys.prune(file.tx, PRODUCTION)
    file.settle()
    assert not file.holds({secret.kem_seed, secret.kem_seed[:32], secret.kem_seed[32:], secret.spk.secret})


def test_a_replay_tag_stays_as_long_as_the_reusable_bundle_though_its_spk_is_gone(file: File) -> None:
    spk = make_signed_prekey(ENTROPY, file.now_s)
    prekeys.add_spk(file.tx, spk)
    file.now_s += DAY_S
    secret = make_reusable_bundle(ME, spk, ENTROPY, file.now_s, PRODUCTION)
    prekeys.add_reusable(file.tx, secret)
    prekeys.accepted(file.tx, secret, bytes(16), PRODUCTION)
    file.now_s = secret.expires_s - 1
    prekeys.prune(file.tx, PRODUCTION)
    assert prekeys.newest_spk(file.tx, file.now_s) is None
    assert prekeys.take(file.tx, secret.prekey_id, file.now_s) == secret
    assert prekeys.is_replayed(file.tx, bytes(16))


def test_requests_for_one_time_bundles_push_out_no_reusable_one_nor_the_reverse(file: File) -> None:
    secret, spk = reusable(file), make_signed_prekey(ENTROPY, file.now_s)
    for number in range(PREKEYS + 5):
        give(file, spk, number.to_bytes(4, "big"))
    (count,) = file.connection.execute("SELECT count(*) FROM prekey WHERE NOT reusable").fetchone() or (0,)
    assert count == PREKEYS
    assert prekeys.take(file.tx, secret.prekey_id, file.now_s) == secret
    for _ in range(REUSABLE_BUNDLES + 1):
        prekeys.add_reusable(file.tx, make_reusable_bundle(ME, spk, ENTROPY, file.now_s, PRODUCTION))
    (count,) = file.connection.execute("SELECT count(*) FROM prekey WHERE NOT reusable").fetchone() or (0,)
    assert count == PREKEYS
    assert prekeys.take(file.tx, secret.prekey_id, file.now_s) is None  # the oldest beyond the bound


def test_a_reusable_bundle_of_a_clock_that_was_ahead_is_given_to_nobody_and_goes(file: File) -> None:
    good = reusable(file)
    file.now_s += 40 * DAY_S
    ahead = reusable(file)
    file.now_s -= 40 * DAY_S
    found = prekeys.newest_reusable(file.tx, file.now_s - DAY_S, PRODUCTION)
    assert found == (good, file.now_s)
    prekeys.prune(file.tx, PRODUCTION)
    assert prekeys.take(file.tx, ahead.prekey_id, file.now_s) is None
    assert prekeys.take(file.tx, good.prekey_id, file.now_s) == good
