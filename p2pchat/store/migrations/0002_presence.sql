-- Presence (PROTOCOL.md 3.4), and who the user chose among several claimants.

CREATE TABLE presence_own (     -- the newest is published; key: of the earliest week still needed
    n     INTEGER PRIMARY KEY,
    seed  BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    key   BLOB NOT NULL
);

CREATE TABLE contact_presence ( -- what a contact gave in a session; seq: of the newest record that was read
    contact   INTEGER PRIMARY KEY REFERENCES contact ON DELETE CASCADE,
    device_ms INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    gate      BLOB NOT NULL,
    epoch     INTEGER NOT NULL,
    key       BLOB NOT NULL,
    seq       INTEGER NOT NULL DEFAULT 0
);

ALTER TABLE contact ADD COLUMN heard_ms INTEGER NOT NULL DEFAULT 0;        -- when anything authenticated last came
ALTER TABLE session ADD COLUMN presence_n INTEGER NOT NULL DEFAULT 0;      -- the highest own presence sealed in it
ALTER TABLE contact_peer ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;        -- of the record that told of it
ALTER TABLE claimant ADD COLUMN first_seen_ms INTEGER NOT NULL DEFAULT 0;
