-- A root key is that of one contact (PROTOCOL.md 3.3): messages went to only one of two, and the other waited for ever.
-- The one with a session stays; the other is looked for again, or merged with it by the user.

UPDATE contact SET root = NULL, epoch_ms = 0, state = 'pending', matched_s = NULL, pending_until_s = NULL
    WHERE root IS NOT NULL AND EXISTS (SELECT 1 FROM contact other WHERE other.root = contact.root
        AND other.id != contact.id AND (
            (SELECT count(*) > 0 FROM session WHERE session.contact = other.id), -other.id) > (
            (SELECT count(*) > 0 FROM session WHERE session.contact = contact.id), -contact.id));
DROP INDEX contact_root;
CREATE UNIQUE INDEX contact_root ON contact (root) WHERE root IS NOT NULL;
