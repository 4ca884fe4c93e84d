-- Contact discovery that survives churn and hostile neighbours (PROTOCOL.md 3.4 to 3.7).

ALTER TABLE presence_own ADD COLUMN ask BLOB;                              -- NULL: the one of the profile
ALTER TABLE presence_own ADD COLUMN made_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE presence_own ADD COLUMN ends_s INTEGER;                        -- NULL: the newest, which has no end yet
UPDATE presence_own SET made_s = CAST(strftime('%s', 'now') AS INTEGER);
ALTER TABLE contact ADD COLUMN acked_n INTEGER NOT NULL DEFAULT 0;         -- the highest own presence that it has
ALTER TABLE envelope ADD COLUMN presence_n INTEGER NOT NULL DEFAULT 0;     -- the own presence that it carries
ALTER TABLE received ADD COLUMN contact INTEGER;                           -- whose it was; NULL: from before

CREATE TABLE invite (           -- PROTOCOL.md 3.5: the ones that this node has made
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    uid       BLOB NOT NULL UNIQUE,
    secret    BLOB NOT NULL,
    uses      INTEGER NOT NULL,
    used      INTEGER NOT NULL DEFAULT 0,
    ask       INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    closed    INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE invite_slot (      -- the matching machine of one of its slots
    invite INTEGER NOT NULL REFERENCES invite ON DELETE CASCADE,
    era    INTEGER NOT NULL,
    epoch  INTEGER NOT NULL,
    state  BLOB NOT NULL,
    PRIMARY KEY (invite, era, epoch)
) WITHOUT ROWID;

CREATE TABLE invite_refused (   -- roots that the user did not accept
    invite INTEGER NOT NULL REFERENCES invite ON DELETE CASCADE,
    root   BLOB NOT NULL,
    PRIMARY KEY (invite, root)
) WITHOUT ROWID;

ALTER TABLE contact ADD COLUMN invite INTEGER REFERENCES invite ON DELETE SET NULL;  -- through which it came
ALTER TABLE contact ADD COLUMN invite_secret BLOB;                                   -- of the link that it gave

CREATE TABLE notice (          -- told to a contact in an envelope, until it is acked; one of a kind
    contact  INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    kind     INTEGER NOT NULL,
    wire_id  BLOB NOT NULL,
    body     BLOB NOT NULL,
    until_s  INTEGER NOT NULL,
    envelope INTEGER REFERENCES envelope ON DELETE SET NULL,   -- NULL: in none yet, or in one that is gone
    PRIMARY KEY (contact, kind)
) WITHOUT ROWID;
CREATE INDEX notice_envelope ON notice (envelope);

CREATE TABLE proof (           -- the newest question of each side, PROTOCOL.md 3.6
    contact INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    own     INTEGER NOT NULL,                   -- 1: this node asked, 0: the contact did
    vid     BLOB NOT NULL,
    key     BLOB,                               -- of the code; only where this node asked and it is open
    until_s INTEGER NOT NULL,
    tries   INTEGER NOT NULL DEFAULT 0,         -- proofs that were sent for it, or came
    heard   BLOB NOT NULL DEFAULT x'',          -- message ids of the items that were taken for it
    closed  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (contact, own)
) WITHOUT ROWID;

-- What a node keeps for others survives a restart (PROTOCOL.md 3.2).

CREATE TABLE held (             -- prefix: of the peer who put it, empty for our own
    id     INTEGER PRIMARY KEY,
    loc    BLOB NOT NULL,
    writer BLOB NOT NULL,
    seq    INTEGER NOT NULL,
    expiry INTEGER NOT NULL,
    work   INTEGER NOT NULL,
    prefix BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE (loc, writer)
);
