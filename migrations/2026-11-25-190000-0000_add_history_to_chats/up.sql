ALTER TABLE chats
    ADD COLUMN history smallint NOT NULL DEFAULT 0,
    ADD CONSTRAINT chats_history_check CHECK (history = 0 OR (history = 1 AND kind = 1));

ALTER TABLE chat_events
    DROP CONSTRAINT chat_events_kind_check,
    ADD CONSTRAINT chat_events_kind_check CHECK (kind BETWEEN 1 AND 10);

COMMENT ON COLUMN chats.history IS 'How much of the log its participants see: 0 the whole, 1 from their joined_seq on.';
COMMENT ON COLUMN chat_events.kind IS '1 message edited, 2 message deleted, 3 message restored, 4 participant added, 5 participant removed, 6 role changed, 7 chat renamed, 8 chat deleted, 9 chat restored, 10 history changed.';
COMMENT ON COLUMN participants.joined_seq IS 'The log entry that added the person, last time; 1 for who is in the chat from its start.';
