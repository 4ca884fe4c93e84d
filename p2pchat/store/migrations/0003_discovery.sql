-- Contact discovery that survives churn and hostile neighbours (PROTOCOL.md 3.4 to 3.7).

ALTER TABLE presence_own ADD COLUMN ask BLOB;                              -- NULL: the one of the profile
ALTER TABLE presence_own ADD COLUMN made_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE presence_own ADD COLUMN ends_s INTEGER;                        -- NULL: the newest, which has no end yet
UPDATE presence_own SET made_s = CAST(strftime('%s', 'now') AS INTEGER);
ALTER TABLE contact ADD COLUMN acked_n INTEGER NOT NULL DEFAULT 0;         -- the highest own presence that it has
ALTER TABLE envelope ADD COLUMN presence_n INTEGER NOT NULL DEFAULT 0;     -- the own presence that it carries

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
