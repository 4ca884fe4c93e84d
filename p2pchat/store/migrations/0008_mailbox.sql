-- Mailboxes (PROTOCOL.md 6): what is held for others, the own ones, and what others hold of ours.

CREATE TABLE mailbox (          -- of somebody: nothing here or below says whose it is
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    owner   BLOB NOT NULL UNIQUE,               -- Ed25519 key made for this mailbox
    next_n  INTEGER NOT NULL DEFAULT 1,
    boxes   INTEGER NOT NULL DEFAULT 0,         -- in it
    bytes   INTEGER NOT NULL DEFAULT 0,         -- of the boxes in it
    seen_s  INTEGER NOT NULL                    -- when the owner last asked for anything, to the hour
);

CREATE TABLE mailbox_bundle (   -- sealed; apart, so that a deposit does not write it anew
    mailbox INTEGER PRIMARY KEY REFERENCES mailbox ON DELETE CASCADE,
    bundle  BLOB NOT NULL
);

CREATE TABLE mailbox_token (    -- hashes of what admits a deposit
    hash    BLOB PRIMARY KEY,
    mailbox INTEGER NOT NULL REFERENCES mailbox ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX mailbox_token_mailbox ON mailbox_token (mailbox);

CREATE TABLE mailbox_total (    -- one row, or none: of all mailboxes
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    boxes INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);

CREATE TABLE deposit (
    id        INTEGER PRIMARY KEY,
    mailbox   INTEGER NOT NULL REFERENCES mailbox,
    n         INTEGER NOT NULL,                 -- rises in the mailbox
    arrived_s INTEGER NOT NULL,
    until_s   INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,                 -- of the box
    box       BLOB NOT NULL
);
CREATE INDEX deposit_listed ON deposit (mailbox, n, until_s, bytes, arrived_s);    -- whatever is asked without a box
CREATE INDEX deposit_until ON deposit (until_s);

CREATE TABLE mailbox_past (     -- what was held and is not any more; why: fetched, expired, ended
    day   INTEGER NOT NULL,                     -- unix seconds / 86,400
    why   TEXT NOT NULL,
    boxes INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (day, why)
) WITHOUT ROWID;

CREATE TABLE own_mailbox (      -- at other nodes
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    peer           BLOB NOT NULL UNIQUE,
    addresses      BLOB NOT NULL,
    contact        INTEGER REFERENCES contact ON DELETE CASCADE,   -- whose node it is; NULL: nobody's that is known
    chosen         INTEGER NOT NULL,            -- 1: by the user, 0: by this node
    seed           BLOB NOT NULL,               -- of the Ed25519 key made for it
    token          BLOB NOT NULL,
    earlier_token  BLOB,                        -- good until earlier_until_s
    earlier_until_s INTEGER,
    granted_s      INTEGER,                     -- when the holder last granted what is said here; NULL: never
    quota          INTEGER,                     -- bytes of all boxes in it, as the holder says
    heard_s        INTEGER,                     -- when it last answered anything
    failed_s       INTEGER NOT NULL DEFAULT 0,  -- for so many seconds online it has not
    ends_s         INTEGER                      -- no longer told of, and emptied until then; NULL: in use
);

CREATE TABLE blocked_peer (     -- nodes that a blocked contact had: no mailbox is wanted there
    peer    BLOB NOT NULL,
    contact INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    PRIMARY KEY (peer, contact)
) WITHOUT ROWID;

CREATE TABLE mailbox_key (      -- boxes are sealed for the newest; each is kept as long as one for it may arrive
    made_s INTEGER PRIMARY KEY,
    secret BLOB NOT NULL
);

ALTER TABLE prekey ADD COLUMN reusable INTEGER NOT NULL DEFAULT 0;     -- 1: of a bundle at mailboxes

ALTER TABLE contact_presence ADD COLUMN said_s INTEGER NOT NULL DEFAULT 0;   -- seq of the record that told of these:
ALTER TABLE contact_presence ADD COLUMN mailbox_key BLOB;
ALTER TABLE contact_presence ADD COLUMN bundle_key BLOB;
ALTER TABLE contact_presence ADD COLUMN mailboxes BLOB;                      -- a msgpack array of [peer_id, address, token]

CREATE TABLE custody (          -- who holds a box with an envelope of ours, until when
    envelope INTEGER NOT NULL REFERENCES envelope ON DELETE CASCADE,
    holder   BLOB NOT NULL,                     -- PeerID
    until_s  INTEGER NOT NULL,
    receipt  BLOB NOT NULL,                     -- BLAKE2b-32 of the box, and the holder's signature
    PRIMARY KEY (envelope, holder)
) WITHOUT ROWID;
CREATE INDEX custody_until ON custody (until_s);

ALTER TABLE message ADD COLUMN held_ms INTEGER;                       -- since when holders have it; 0: none any more; NULL: none had
ALTER TABLE session ADD COLUMN kept_s INTEGER;                        -- iat of the bundle at a mailbox that its flight uses; NULL: none
