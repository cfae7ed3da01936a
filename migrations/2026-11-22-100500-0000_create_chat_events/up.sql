CREATE TABLE chat_events (
    chat_id uuid NOT NULL,
    seq bigint NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    actor_id text COLLATE "C",
    occurred_at timestamptz NOT NULL,
    message_seq bigint,
    data jsonb NOT NULL,
    CONSTRAINT chat_events_pkey PRIMARY KEY (chat_id, seq),
    CONSTRAINT chat_events_seq_check CHECK (seq > 0),
    CONSTRAINT chat_events_kind_check CHECK (kind BETWEEN 1 AND 9),
    CONSTRAINT chat_events_message_seq_check CHECK ((kind IN (1, 2, 3)) = (message_seq IS NOT NULL))
);

COMMENT ON TABLE chat_events IS 'The log of each chat but for the sends, which are the messages themselves; also the edit history and the audit trail.';
COMMENT ON COLUMN chat_events.chat_id IS 'The chat, and the key by which the table can be distributed.';
COMMENT ON COLUMN chat_events.seq IS 'The place in the chat''s log.';
COMMENT ON COLUMN chat_events.tenant_id IS 'The tenant of the chat.';
COMMENT ON COLUMN chat_events.kind IS '1 message edited, 2 message deleted, 3 message restored, 4 participant added, 5 participant removed, 6 role changed, 7 chat renamed, 8 chat deleted, 9 chat restored.';
COMMENT ON COLUMN chat_events.actor_id IS 'Who did it.';
COMMENT ON COLUMN chat_events.occurred_at IS 'When it was done.';
COMMENT ON COLUMN chat_events.message_seq IS 'The message it was done to, for kinds 1 to 3.';
COMMENT ON COLUMN chat_events.data IS 'What the kind needs besides: the user and role, the title, and what stood before.';
