-- Written by the statement that writes the event, under the lock of its chat: so it commits with it, and the entries of
-- one chat have ids in the order of the log.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id text COLLATE "C" NOT NULL,
    chat_id uuid NOT NULL,
    seq bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE outbox IS 'Events that no delivery has been made of yet, of tenants that have a sink.';
COMMENT ON COLUMN outbox.id IS 'Numbers the entries, with gaps; those of one chat in the order of its log.';
COMMENT ON COLUMN outbox.tenant_id IS 'The tenant of the chat.';
COMMENT ON COLUMN outbox.chat_id IS 'The chat.';
COMMENT ON COLUMN outbox.seq IS 'The event: the place in the chat''s log.';
COMMENT ON COLUMN outbox.written_at IS 'When the event was written, by the database''s clock.';

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY outbox_of_tenant ON outbox USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY outbox_of_tenant ON outbox IS 'Rows of the tenant that the session works for.';
