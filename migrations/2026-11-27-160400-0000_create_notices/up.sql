CREATE TABLE notices (
    tenant_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    chat_id uuid NOT NULL,
    from_seq bigint NOT NULL,
    seq bigint NOT NULL,
    mentioned boolean NOT NULL,
    critical boolean NOT NULL,
    begun_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    CONSTRAINT notices_pkey PRIMARY KEY (tenant_id, user_id, chat_id)
);

CREATE INDEX notices_due_at_idx ON notices (due_at);

COMMENT ON TABLE notices IS 'Whom there is something to tell, once they have had the time to read it themselves: at most one notice of a person and a chat, however many messages there are. All times are the database''s.';
COMMENT ON COLUMN notices.tenant_id IS 'The tenant of the person and the chat.';
COMMENT ON COLUMN notices.user_id IS 'The person.';
COMMENT ON COLUMN notices.chat_id IS 'The chat.';
COMMENT ON COLUMN notices.from_seq IS 'The oldest message to tell of.';
COMMENT ON COLUMN notices.seq IS 'The newest message to tell of.';
COMMENT ON COLUMN notices.mentioned IS 'Whether one of them mentions the person.';
COMMENT ON COLUMN notices.critical IS 'Whether one of them is critical.';
COMMENT ON COLUMN notices.begun_at IS 'When the oldest of them was put here.';
COMMENT ON COLUMN notices.due_at IS 'When to tell the person, if they have not read it by then.';

ALTER TABLE notices ENABLE ROW LEVEL SECURITY;
CREATE POLICY notices_of_tenant ON notices USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY notices_of_tenant ON notices IS 'Rows of the tenant that the session works for.';
