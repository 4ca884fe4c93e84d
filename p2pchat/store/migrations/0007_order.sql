-- Messages for a live stream alone (PROTOCOL.md 5.5), and notes to oneself.

ALTER TABLE message ADD COLUMN live INTEGER NOT NULL DEFAULT 0;    -- 1: for a stream that stands now, or not at all
ALTER TABLE envelope ADD COLUMN live INTEGER;                      -- the live message that is alone in it, until it is acked
CREATE INDEX message_live ON message (contact) WHERE live = 1 AND state IN ('queued', 'sent');
CREATE INDEX envelope_live ON envelope (live) WHERE live IS NOT NULL;
CREATE UNIQUE INDEX contact_self ON contact (state) WHERE state = 'self';
