-- Readers of the event log that are known by name.

CREATE TABLE consumer (
    name     TEXT PRIMARY KEY,
    seq      INTEGER NOT NULL,  -- what it has done with, all before included
    types    TEXT,              -- what it reads: patterns with a blank between them, NULL for everything
    acked_ms INTEGER,           -- NULL: it has done with nothing yet
    made_ms  INTEGER NOT NULL
) WITHOUT ROWID;
