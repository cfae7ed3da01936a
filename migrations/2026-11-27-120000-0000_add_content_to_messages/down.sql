ALTER TABLE messages DROP COLUMN subject, DROP COLUMN metadata, DROP COLUMN forwarded_from;
