-- The first schema. Times end in _s (unix seconds) or _ms; ids of the wire are BLOBs of the length PROTOCOL.md gives.

CREATE TABLE meta (            -- identity, node seed, ask32, own number and name, listening addresses
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE idsec (           -- PROTOCOL.md 3.1: one secret an era
    era    INTEGER PRIMARY KEY,
    secret BLOB NOT NULL
);

CREATE TABLE contact (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    uid            BLOB NOT NULL UNIQUE,
    name           TEXT NOT NULL,
    number         TEXT UNIQUE,
    state          TEXT NOT NULL,
    trust          TEXT NOT NULL,
    root           BLOB,               -- whom Reach was given to, later: who is matched
    epoch_ms       INTEGER NOT NULL DEFAULT 0,
    highest_ms     INTEGER NOT NULL DEFAULT 0,
    next_n         INTEGER NOT NULL DEFAULT 1,
    claimants      INTEGER NOT NULL DEFAULT 0,
    last_seen_ms   INTEGER,
    pending_until_s INTEGER,              -- NULL: the search has expired
    flight_after_s INTEGER NOT NULL DEFAULT 0,
    matched_s      INTEGER
);
CREATE INDEX contact_root ON contact (root);

CREATE TABLE claimant (        -- distinct roots with a valid card, PROTOCOL.md 3.3
    contact INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    root    BLOB NOT NULL,
    cert    BLOB NOT NULL,
    PRIMARY KEY (contact, root)
) WITHOUT ROWID;

CREATE TABLE contact_peer (    -- where a contact can be reached; published: learnt from its Reach
    contact   INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    peer      BLOB NOT NULL,
    addresses BLOB NOT NULL,
    ask       BLOB,
    published INTEGER NOT NULL,
    proven    INTEGER NOT NULL DEFAULT 0,   -- something of the contact's sessions came from it
    PRIMARY KEY (contact, peer)
) WITHOUT ROWID;
CREATE INDEX contact_peer_peer ON contact_peer (peer);

CREATE TABLE pair_root (       -- cached for its era: half a second of Argon2id each
    contact INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    own     TEXT NOT NULL,
    number  TEXT NOT NULL,
    era     INTEGER NOT NULL,
    root    BLOB NOT NULL,
    PRIMARY KEY (contact, own, number, era)
) WITHOUT ROWID;

CREATE TABLE pair_slot (       -- the matching machine of one slot, PROTOCOL.md 3.3
    contact INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    own     TEXT NOT NULL,
    number  TEXT NOT NULL,
    era     INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    state   BLOB NOT NULL,
    PRIMARY KEY (contact, own, number, era, epoch)
) WITHOUT ROWID;

CREATE TABLE published (       -- own records: seq is on disk before the record leaves
    loc         BLOB PRIMARY KEY,
    contact     INTEGER REFERENCES contact ON DELETE CASCADE,
    data        BLOB NOT NULL,
    seq         INTEGER NOT NULL,
    bits        INTEGER NOT NULL,
    record      BLOB,
    republish_s INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE spk (
    made_s INTEGER PRIMARY KEY,
    secret BLOB NOT NULL
);

CREATE TABLE prekey (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    prekey_id BLOB NOT NULL UNIQUE,
    requester BLOB NOT NULL,                    -- the PeerID that asked: nobody may fill the table
    secret    BLOB NOT NULL,
    expires_s INTEGER NOT NULL
);
CREATE INDEX prekey_requester ON prekey (requester, id);

CREATE TABLE session (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    contact       INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    ad            BLOB NOT NULL UNIQUE,
    core          BLOB NOT NULL,
    skipped       BLOB NOT NULL,
    sealed_n      INTEGER NOT NULL DEFAULT 0,   -- the highest message number sealed in it
    used_s        INTEGER NOT NULL
);
CREATE INDEX session_contact ON session (contact);

CREATE TABLE session_hint (    -- junk costs a look-up, PROTOCOL.md 4.4
    hint    BLOB NOT NULL,
    session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
    PRIMARY KEY (hint, session)
) WITHOUT ROWID;
CREATE INDEX session_hint_session ON session_hint (session);

CREATE TABLE replay_tag (
    tag     BLOB PRIMARY KEY,
    until_s INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE received (        -- eids that were opened, with the ack to repeat, PROTOCOL.md 5.2
    id      INTEGER PRIMARY KEY,
    eid     BLOB NOT NULL UNIQUE,
    ack     BLOB NOT NULL,
    until_s INTEGER NOT NULL
);

CREATE TABLE message (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    contact      INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    incoming     INTEGER NOT NULL,
    n            INTEGER NOT NULL,
    wire_id      BLOB NOT NULL,
    kind         INTEGER NOT NULL DEFAULT 1,
    text         TEXT,
    body         BLOB,                          -- only of a kind that this version does not know
    state        TEXT NOT NULL,
    reason       TEXT,
    created_ms   INTEGER NOT NULL,
    sent_ms      INTEGER,
    delivered_ms INTEGER,
    read_ms      INTEGER,
    UNIQUE (contact, incoming, wire_id)
);
CREATE INDEX message_conversation ON message (contact, id);
CREATE INDEX message_outgoing ON message (contact, n) WHERE incoming = 0;
CREATE INDEX message_open ON message (created_ms) WHERE incoming = 0 AND state IN ('queued', 'sent');

CREATE TABLE envelope (        -- what left: the stored bytes are the retransmission
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
    contact INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    eid     BLOB NOT NULL UNIQUE,
    ack     BLOB NOT NULL,
    n0      INTEGER NOT NULL,                   -- messages n0 to n1 of the conversation; 0 and 0: none
    n1      INTEGER NOT NULL,
    bytes   BLOB                                -- NULL once acknowledged
);
CREATE INDEX envelope_open ON envelope (session, id) WHERE bytes IS NOT NULL;
CREATE INDEX envelope_session ON envelope (session);
CREATE INDEX envelope_contact ON envelope (contact);

CREATE TABLE event (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    ts_ms   INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    subject INTEGER,                            -- message.id for message.*, contact.id for contact.* and peer.*
    detail  BLOB
);

CREATE TABLE idempotency (
    key    TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    result BLOB NOT NULL,
    at_s   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE known_peer (      -- nodes to start from next time
    peer      BLOB PRIMARY KEY,
    addresses BLOB NOT NULL,
    seen_s    INTEGER NOT NULL
) WITHOUT ROWID;
