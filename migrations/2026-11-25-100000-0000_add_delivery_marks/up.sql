-- Acknowledgements move this column, so no index covers it (HOT). The constant default rewrites no table.
ALTER TABLE participants ADD COLUMN delivered_seq bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN participants.delivered_seq IS 'The delivery mark: a device of the person has everything up to this log entry. What is read is delivered, so the greater of both marks holds.';
