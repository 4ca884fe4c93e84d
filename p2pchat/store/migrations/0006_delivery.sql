-- Delivery: nothing lost, nothing twice, nothing unexplained.

ALTER TABLE event ADD COLUMN more INTEGER NOT NULL DEFAULT 0;  -- so many events follow, alike, of the subjects that follow
