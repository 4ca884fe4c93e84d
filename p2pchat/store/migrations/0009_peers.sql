-- The nodes to start from: how long each has been known, and how it fails.

ALTER TABLE known_peer ADD COLUMN since_s INTEGER NOT NULL DEFAULT 0;   -- first answered; seen_s: last answered
ALTER TABLE known_peer ADD COLUMN failed_s INTEGER NOT NULL DEFAULT 0;  -- last counted failure; 0: none since seen_s
ALTER TABLE known_peer ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;  -- on so many days since seen_s

UPDATE known_peer SET since_s = seen_s;
