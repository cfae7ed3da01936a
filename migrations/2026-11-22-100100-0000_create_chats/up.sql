-- Every send updates last_seq and last_activity_at. No secondary index may cover either, so that the
-- update stays heap-only (HOT); the fill factor leaves room for the new versions on the same page.
CREATE TABLE chats (
    id uuid NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    title text,
    created_by text COLLATE "C",
    created_at timestamptz NOT NULL,
    last_seq bigint NOT NULL,
    last_activity_at timestamptz NOT NULL,
    acl_version bigint NOT NULL DEFAULT 0,
    deleted_at timestamptz,
    deleted_by text COLLATE "C",
    CONSTRAINT chats_pkey PRIMARY KEY (id),
    CONSTRAINT chats_kind_check CHECK (kind IN (0, 1)),
    CONSTRAINT chats_title_check CHECK ((kind = 1) = (title IS NOT NULL)),
    CONSTRAINT chats_last_seq_check CHECK (last_seq >= 0),
    CONSTRAINT chats_created_by_fkey FOREIGN KEY (tenant_id, created_by) REFERENCES users (tenant_id, id)
) WITH (fillfactor = 50);

COMMENT ON TABLE chats IS 'Conversations. The row orders the chat''s writers: a seq is taken under its lock.';
COMMENT ON COLUMN chats.id IS 'A version 7 UUID made by the server.';
COMMENT ON COLUMN chats.tenant_id IS 'The tenant the chat belongs to.';
COMMENT ON COLUMN chats.kind IS '0 direct, 1 group.';
COMMENT ON COLUMN chats.title IS 'The title of a group; null for a direct chat.';
COMMENT ON COLUMN chats.created_by IS 'Who opened the chat.';
COMMENT ON COLUMN chats.created_at IS 'When the chat was opened.';
COMMENT ON COLUMN chats.last_seq IS 'The number of the newest entry of the chat''s log; the log is gapless from 1.';
COMMENT ON COLUMN chats.last_activity_at IS 'When the newest message was sent, or the chat opened.';
COMMENT ON COLUMN chats.acl_version IS 'Grows with every change of membership, role or deletion, so that a send decided on old facts updates no row.';
COMMENT ON COLUMN chats.deleted_at IS 'When the chat was deleted; null while it is live.';
COMMENT ON COLUMN chats.deleted_by IS 'Who deleted the chat; null while it is live.';
