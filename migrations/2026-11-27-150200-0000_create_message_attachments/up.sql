-- Written in the transaction that sends the message. One attachment may be sent with many messages. The primary key also tells
-- whether a message has any.
CREATE TABLE message_attachments (
    chat_id uuid NOT NULL,
    seq bigint NOT NULL,
    position smallint NOT NULL,
    attachment_id uuid NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    CONSTRAINT message_attachments_pkey PRIMARY KEY (chat_id, seq, position)
);

CREATE INDEX message_attachments_attachment_id_idx ON message_attachments (attachment_id, chat_id, seq);

COMMENT ON TABLE message_attachments IS 'Which attachments were sent with which message.';
COMMENT ON COLUMN message_attachments.chat_id IS 'The chat, and the key by which the table can be distributed.';
COMMENT ON COLUMN message_attachments.seq IS 'The message.';
COMMENT ON COLUMN message_attachments.position IS 'The place of the attachment among those of the message, from 0 on.';
COMMENT ON COLUMN message_attachments.attachment_id IS 'The attachment.';
COMMENT ON COLUMN message_attachments.tenant_id IS 'The tenant of the chat.';

ALTER TABLE message_attachments ENABLE ROW LEVEL SECURITY;
CREATE POLICY message_attachments_of_tenant ON message_attachments USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY message_attachments_of_tenant ON message_attachments IS 'Rows of the tenant that the session works for.';
