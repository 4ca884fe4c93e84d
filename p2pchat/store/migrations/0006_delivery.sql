-- Delivery: nothing lost, nothing twice, nothing unexplained.

ALTER TABLE event ADD COLUMN more INTEGER NOT NULL DEFAULT 0;  -- so many events follow, alike, of the subjects that follow

-- A device that was replaced is told so (PROTOCOL.md 5.3).

ALTER TABLE contact ADD COLUMN cert BLOB;    -- of its newest device, whose epoch_ms stands beside it; NULL: not seen since

-- Which messages hold a word (store/word_index.py). It is filled behind the messages and holds no text; what leaves it
-- leaves its pages, too.
CREATE VIRTUAL TABLE word USING fts5(
    tokens, content = '', detail = none, columnsize = 0, tokenize = 'ascii tokenchars ''$+<=>^`|~@'''
);
INSERT INTO word (word, rank) VALUES ('secure-delete', 1);
INSERT INTO word (word, rank) VALUES ('automerge', 0);      -- each batch merges as much as it has time for
INSERT INTO word (word, rank) VALUES ('crisismerge', 256);

-- Receipts: what was told to be read.
ALTER TABLE contact ADD COLUMN receipts INTEGER;                              -- 1: on, 0: off, NULL: as for everybody
ALTER TABLE contact ADD COLUMN read_position INTEGER NOT NULL DEFAULT 0;      -- of theirs all are read up to there
ALTER TABLE contact ADD COLUMN read_n INTEGER NOT NULL DEFAULT 0;             -- of ours nothing changes up to there
