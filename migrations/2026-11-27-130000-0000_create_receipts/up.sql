-- One row each time that a mark moved, so that it can be said when it passed a message. What one sends moves the read
-- mark too, and has its time in the message itself.
CREATE TABLE receipts (
    chat_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    seq bigint NOT NULL,
    from_seq bigint NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    marked_at timestamptz NOT NULL,
    CONSTRAINT receipts_pkey PRIMARY KEY (chat_id, user_id, kind, seq),
    CONSTRAINT receipts_kind_check CHECK (kind BETWEEN 0 AND 1)
);

COMMENT ON TABLE receipts IS 'When people''s marks moved. Rows are removed when they are old.';
COMMENT ON COLUMN receipts.chat_id IS 'The chat, and the key by which the table can be distributed.';
COMMENT ON COLUMN receipts.user_id IS 'Whose mark it is.';
COMMENT ON COLUMN receipts.kind IS '0 read, 1 delivered.';
COMMENT ON COLUMN receipts.seq IS 'To where the mark moved.';
COMMENT ON COLUMN receipts.from_seq IS 'From where: what stands up to there was passed before.';
COMMENT ON COLUMN receipts.tenant_id IS 'The tenant of the chat.';
COMMENT ON COLUMN receipts.marked_at IS 'When it moved.';

-- Rows are written in the order of their times, nearly, so this index costs next to nothing.
CREATE INDEX receipts_marked_at_idx ON receipts USING brin (marked_at);

ALTER TABLE receipts ENABLE ROW LEVEL SECURITY;
CREATE POLICY receipts_of_tenant ON receipts USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY receipts_of_tenant ON receipts IS 'Rows of the tenant that the session works for.';

ALTER TABLE users ADD COLUMN receipts_visible boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN users.receipts_visible IS 'Whether the person lets others see what they have read and received.';
