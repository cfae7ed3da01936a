-- Rows are written only for messages that were just read, and outlive membership: whoever comes back finds theirs again.
CREATE TABLE stars (
    chat_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    starred_at timestamptz NOT NULL,
    CONSTRAINT stars_pkey PRIMARY KEY (chat_id, user_id, seq)
);

CREATE INDEX stars_user_id_idx ON stars (tenant_id, user_id, starred_at, chat_id, seq);

COMMENT ON TABLE stars IS 'Messages that somebody keeps at hand. Each is one person''s alone.';
COMMENT ON COLUMN stars.chat_id IS 'The chat, and the key by which the table can be distributed.';
COMMENT ON COLUMN stars.user_id IS 'Whose star it is.';
COMMENT ON COLUMN stars.seq IS 'The message.';
COMMENT ON COLUMN stars.tenant_id IS 'The tenant of the chat.';
COMMENT ON COLUMN stars.starred_at IS 'When the message was starred: the order of the person''s list.';

ALTER TABLE stars ENABLE ROW LEVEL SECURITY;
CREATE POLICY stars_of_tenant ON stars USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY stars_of_tenant ON stars IS 'Rows of the tenant that the session works for.';
