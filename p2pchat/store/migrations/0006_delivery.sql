-- Delivery: nothing lost, nothing twice, nothing unexplained.

ALTER TABLE event ADD COLUMN more INTEGER NOT NULL DEFAULT 0;  -- so many events follow, alike, of the subjects that follow

-- A device that was replaced is told so (PROTOCOL.md 5.3).

ALTER TABLE contact ADD COLUMN cert BLOB;    -- of its newest device, whose epoch_ms stands beside it; NULL: not seen since
