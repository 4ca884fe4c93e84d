-- Whom the user lets near this node, and where contacts were met half way.

CREATE TABLE rule (            -- one of contact, peer and network stands in each
    id INTEGER PRIMARY KEY,
    contact INTEGER UNIQUE REFERENCES contact (id) ON DELETE CASCADE,
    peer BLOB UNIQUE,
    network TEXT UNIQUE,       -- CIDR, in its shortest form
    allow INTEGER NOT NULL,    -- 1: let near, 0: not
    made_ms INTEGER NOT NULL
);

ALTER TABLE contact_peer ADD COLUMN met BLOB;  -- where the last connection led that both had opened from their ports
