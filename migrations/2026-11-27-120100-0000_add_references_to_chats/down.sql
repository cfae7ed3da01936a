-- Where the log tells of such a change, this fails: the release before could not read it.
ALTER TABLE chat_events
    DROP CONSTRAINT chat_events_kind_check,
    ADD CONSTRAINT chat_events_kind_check CHECK (kind BETWEEN 1 AND 10);

ALTER TABLE chats
    DROP CONSTRAINT chats_channel_check,
    DROP COLUMN metadata,
    DROP COLUMN channel_type,
    DROP COLUMN channel_id;

COMMENT ON COLUMN chat_events.kind IS '1 message edited, 2 message deleted, 3 message restored, 4 participant added, 5 participant removed, 6 role changed, 7 chat renamed, 8 chat deleted, 9 chat restored, 10 history changed.';
