-- What outlives the loss of a device (docs/BACKUP.md).

CREATE TABLE meeting (          -- the rdv of sessions that a restored node had: where a contact is met (PROTOCOL.md 3.4)
    contact   INTEGER NOT NULL REFERENCES contact ON DELETE CASCADE,
    device_ms INTEGER NOT NULL,
    ms        INTEGER NOT NULL,
    rdv       BLOB NOT NULL,
    PRIMARY KEY (contact, rdv)
) WITHOUT ROWID;
