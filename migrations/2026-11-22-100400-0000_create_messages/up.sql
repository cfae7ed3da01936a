-- Rows are written only by the statement that takes their seq from the chat's row for a sender whose
-- membership it repeats, so the chat and the sender exist. Foreign keys would prove it again on every
-- send, and lock the sender's row against their other sends.
CREATE TABLE messages (
    chat_id uuid NOT NULL,
    seq bigint NOT NULL,
    id uuid NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    sender_id text COLLATE "C" NOT NULL,
    body text NOT NULL,
    reply_to_seq bigint,
    idempotency_key text COLLATE "C",
    created_at timestamptz NOT NULL,
    edited_at timestamptz,
    deleted_at timestamptz,
    deleted_by text COLLATE "C",
    CONSTRAINT messages_pkey PRIMARY KEY (chat_id, seq),
    CONSTRAINT messages_seq_check CHECK (seq > 0),
    CONSTRAINT messages_reply_to_seq_check CHECK (reply_to_seq < seq),
    CONSTRAINT messages_deleted_check CHECK ((deleted_at IS NULL) = (deleted_by IS NULL))
);

-- Finds a message by its public id alone, and still contains the distribution key.
CREATE UNIQUE INDEX messages_id_key ON messages (id, chat_id);
CREATE UNIQUE INDEX messages_idempotency_key ON messages (chat_id, sender_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

COMMENT ON TABLE messages IS 'Messages. A row is also the log''s "message sent" entry at its seq.';
COMMENT ON COLUMN messages.chat_id IS 'The chat, and the key by which the table can be distributed.';
COMMENT ON COLUMN messages.seq IS 'The place in the chat''s log.';
COMMENT ON COLUMN messages.id IS 'A version 7 UUID made by the server.';
COMMENT ON COLUMN messages.tenant_id IS 'The tenant of the chat.';
COMMENT ON COLUMN messages.sender_id IS 'The author, from the token of the send. It never changes.';
COMMENT ON COLUMN messages.body IS 'The text as it is now, kept also after deletion.';
COMMENT ON COLUMN messages.reply_to_seq IS 'The message of the same chat that this one answers.';
COMMENT ON COLUMN messages.idempotency_key IS 'The sender''s key for the send: a retry finds the first message by it, for ever.';
COMMENT ON COLUMN messages.created_at IS 'When the message was sent; it never runs backwards within a chat.';
COMMENT ON COLUMN messages.edited_at IS 'When the body last changed.';
COMMENT ON COLUMN messages.deleted_at IS 'When the message was deleted; null while it is live.';
COMMENT ON COLUMN messages.deleted_by IS 'Who deleted it: decides who may restore it.';
