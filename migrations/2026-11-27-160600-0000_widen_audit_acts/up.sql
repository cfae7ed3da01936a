ALTER TABLE audit_entries
    DROP CONSTRAINT audit_entries_act_check,
    ADD CONSTRAINT audit_entries_act_check CHECK (act BETWEEN 0 AND 11);

COMMENT ON COLUMN audit_entries.act IS '0 chat read, 1 message deleted, 2 message restored, 3 chat deleted, 4 chat restored, 5 participant removed, 6 role changed, 7 tokens revoked, 8 trail read, 9 dead letters read, 10 dead letters replayed, 11 log of downloads read.';
