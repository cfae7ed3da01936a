-- Few rows, which each send looks at: an event is put into the outbox where its tenant has a sink.
CREATE TABLE sinks (
    tenant_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    events boolean NOT NULL,
    notifications boolean NOT NULL,
    CONSTRAINT sinks_pkey PRIMARY KEY (tenant_id, name),
    CONSTRAINT sinks_kind_check CHECK (kind BETWEEN 0 AND 2)
);

COMMENT ON TABLE sinks IS 'Where servers deliver to, as the last one that started with a file of sinks read it. No secrets: those stand in the file.';
COMMENT ON COLUMN sinks.tenant_id IS 'The tenant whose events and notifications it gets.';
COMMENT ON COLUMN sinks.name IS 'What the operator calls it.';
COMMENT ON COLUMN sinks.kind IS '0 webhook, 1 PubNub, 2 SMTP.';
COMMENT ON COLUMN sinks.events IS 'Whether it gets every event of the tenant''s chats.';
COMMENT ON COLUMN sinks.notifications IS 'Whether it gets the notifications of people who are away.';

ALTER TABLE sinks ENABLE ROW LEVEL SECURITY;
CREATE POLICY sinks_of_tenant ON sinks USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY sinks_of_tenant ON sinks IS 'Rows of the tenant that the session works for.';
