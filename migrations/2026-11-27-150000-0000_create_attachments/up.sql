-- What is known of a file. Its bytes are elsewhere, under the id: a name of somebody's making is never a path.
CREATE TABLE attachments (
    id uuid NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    uploader_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    content_type text NOT NULL,
    size bigint NOT NULL,
    checksum bytea NOT NULL,
    status smallint NOT NULL,
    width integer,
    height integer,
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    CONSTRAINT attachments_pkey PRIMARY KEY (id),
    CONSTRAINT attachments_size_check CHECK (size > 0),
    CONSTRAINT attachments_checksum_check CHECK (octet_length(checksum) = 32),
    CONSTRAINT attachments_status_check CHECK (status BETWEEN 0 AND 2),
    CONSTRAINT attachments_dimensions_check CHECK ((width IS NULL) = (height IS NULL) AND width >= 0 AND height >= 0)
);

-- What somebody keeps here, counted from the index alone.
CREATE INDEX attachments_uploader_id_idx ON attachments (tenant_id, uploader_id) INCLUDE (size, status);

-- What is cleared away, the oldest first. What was sent is not in it.
CREATE INDEX attachments_created_at_idx ON attachments (created_at) WHERE sent_at IS NULL;

COMMENT ON TABLE attachments IS 'Files that somebody uploads to send them. Their bytes are kept elsewhere, under the id.';
COMMENT ON COLUMN attachments.id IS 'The attachment, and the key of its bytes.';
COMMENT ON COLUMN attachments.tenant_id IS 'The tenant of the uploader.';
COMMENT ON COLUMN attachments.uploader_id IS 'Who uploads it, and alone may send it.';
COMMENT ON COLUMN attachments.name IS 'What the file is called, to be shown and never to be a path.';
COMMENT ON COLUMN attachments.content_type IS 'Its media type as the uploader said, in lower case and without parameters.';
COMMENT ON COLUMN attachments.size IS 'How many bytes it has.';
COMMENT ON COLUMN attachments.checksum IS 'The SHA-256 of its bytes.';
COMMENT ON COLUMN attachments.status IS '0 announced, 1 here whole and checked, 2 being cleared away.';
COMMENT ON COLUMN attachments.width IS 'The width of an image in pixels, if its head says so.';
COMMENT ON COLUMN attachments.height IS 'The height of an image in pixels, if its head says so.';
COMMENT ON COLUMN attachments.created_at IS 'When it was announced.';
COMMENT ON COLUMN attachments.sent_at IS 'When it was first sent: it is kept from then on.';

ALTER TABLE attachments ENABLE ROW LEVEL SECURITY;
CREATE POLICY attachments_of_tenant ON attachments USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY attachments_of_tenant ON attachments IS 'Rows of the tenant that the session works for.';
