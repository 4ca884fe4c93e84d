-- A root key is that of one contact (PROTOCOL.md 3.3): messages went to only one of two, and the other waited for ever.
-- The one with a session stays; the other can be looked for again, or merged with it by the user. Nothing that was agreed
-- with the root holds for it any more: trust, sessions and nodes are those of the one that stays.

CREATE TEMP TABLE other AS SELECT id FROM contact WHERE root IS NOT NULL AND EXISTS (
    SELECT 1 FROM contact stays WHERE stays.root = contact.root AND stays.id != contact.id AND (
        (SELECT count(*) > 0 FROM session WHERE session.contact = stays.id), -stays.id) > (
        (SELECT count(*) > 0 FROM session WHERE session.contact = contact.id), -contact.id));
UPDATE contact SET root = NULL, epoch_ms = 0, state = CASE state WHEN 'blocked' THEN 'blocked' ELSE 'pending' END,
        trust = 'claimed', matched_s = NULL, pending_until_s = NULL, flight_after_s = 0, heard_ms = 0, acked_n = 0,
        invite = NULL, invite_secret = NULL
    WHERE id IN (SELECT id FROM other);
DELETE FROM session WHERE contact IN (SELECT id FROM other);
DELETE FROM contact_peer WHERE contact IN (SELECT id FROM other);
DELETE FROM contact_presence WHERE contact IN (SELECT id FROM other);
DELETE FROM notice WHERE contact IN (SELECT id FROM other);
DELETE FROM proof WHERE contact IN (SELECT id FROM other);
DELETE FROM pair_slot WHERE own = '' AND number = '' AND contact IN (SELECT id FROM other);
DROP TABLE other;
DROP INDEX contact_root;
CREATE UNIQUE INDEX contact_root ON contact (root) WHERE root IS NOT NULL;
