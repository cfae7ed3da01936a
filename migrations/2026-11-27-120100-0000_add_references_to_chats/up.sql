ALTER TABLE chats
    ADD COLUMN metadata jsonb,
    ADD COLUMN channel_type text COLLATE "C",
    ADD COLUMN channel_id text COLLATE "C",
    ADD CONSTRAINT chats_channel_check CHECK ((channel_type IS NULL) = (channel_id IS NULL));

COMMENT ON COLUMN chats.metadata IS 'What the application keeps with the chat, an object; null where it keeps nothing.';
COMMENT ON COLUMN chats.channel_type IS 'What sort of thing of the application the chat belongs to; null where it belongs to none.';
COMMENT ON COLUMN chats.channel_id IS 'Which of them; null where channel_type is.';

ALTER TABLE chat_events
    DROP CONSTRAINT chat_events_kind_check,
    ADD CONSTRAINT chat_events_kind_check CHECK (kind BETWEEN 1 AND 12);

COMMENT ON COLUMN chat_events.kind IS '1 message edited, 2 message deleted, 3 message restored, 4 participant added, 5 participant removed, 6 role changed, 7 chat renamed, 8 chat deleted, 9 chat restored, 10 history changed, 11 metadata changed, 12 external reference changed.';
