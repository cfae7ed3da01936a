ALTER TABLE participants DROP COLUMN delivered_seq;
