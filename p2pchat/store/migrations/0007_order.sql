-- Messages for a live stream alone (PROTOCOL.md 5.5), and notes to oneself.

ALTER TABLE message ADD COLUMN live INTEGER NOT NULL DEFAULT 0;    -- 1: for a stream that stands now, or not at all
ALTER TABLE envelope ADD COLUMN live INTEGER;                      -- the live message that is alone in it, until it is acked
CREATE INDEX message_live ON message (contact) WHERE live = 1 AND state IN ('queued', 'sent');
CREATE INDEX envelope_live ON envelope (live) WHERE live IS NOT NULL;
CREATE UNIQUE INDEX contact_self ON contact (state) WHERE state = 'self';

-- Order: texts stand in the order of their sender's numbers, late ones included (PROTOCOL.md 5.6).

ALTER TABLE contact ADD COLUMN order_ms INTEGER NOT NULL DEFAULT 0;   -- epoch_ms of the newest device of which a text came
ALTER TABLE contact ADD COLUMN order_n INTEGER NOT NULL DEFAULT 0;    -- the highest number that came from it

CREATE TABLE gap (              -- the numbers n0 to n1 did not come; the ids directly below are kept for them
    above     INTEGER PRIMARY KEY,   -- the message.id of the text that follows them
    contact   INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    device_ms INTEGER NOT NULL,
    n0        INTEGER NOT NULL,
    n1        INTEGER NOT NULL,
    told      INTEGER NOT NULL,      -- 0: it is not known whether they were sent to this node
    noted_s   INTEGER NOT NULL
);
CREATE INDEX gap_contact ON gap (contact, device_ms, n1);

CREATE TABLE late (             -- came into a gap below contact.read_position, and is not read
    message INTEGER PRIMARY KEY REFERENCES message ON DELETE CASCADE,
    contact INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE
);
CREATE INDEX late_contact ON late (contact, message);
