-- Rows outlive what they are about, as those of the audit trail do.
CREATE TABLE attachment_downloads (
    id uuid NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    attachment_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    CONSTRAINT attachment_downloads_pkey PRIMARY KEY (id)
);

CREATE INDEX attachment_downloads_tenant_id_idx ON attachment_downloads (tenant_id, occurred_at, id);
CREATE INDEX attachment_downloads_attachment_id_idx ON attachment_downloads (tenant_id, attachment_id, occurred_at, id);

COMMENT ON TABLE attachment_downloads IS 'Who was given a URL to download an attachment from, and when.';
COMMENT ON COLUMN attachment_downloads.id IS 'The entry.';
COMMENT ON COLUMN attachment_downloads.tenant_id IS 'The tenant of the attachment and of the person.';
COMMENT ON COLUMN attachment_downloads.attachment_id IS 'The attachment.';
COMMENT ON COLUMN attachment_downloads.user_id IS 'Who was given the URL.';
COMMENT ON COLUMN attachment_downloads.occurred_at IS 'When they were.';

ALTER TABLE attachment_downloads ENABLE ROW LEVEL SECURITY;
CREATE POLICY attachment_downloads_of_tenant ON attachment_downloads USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY attachment_downloads_of_tenant ON attachment_downloads IS 'Rows of the tenant that the session works for.';
