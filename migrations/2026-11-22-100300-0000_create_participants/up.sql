-- A send moves the sender's read_seq, so no index covers that column and the fill factor leaves room (HOT).
CREATE TABLE participants (
    chat_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    role smallint NOT NULL,
    joined_at timestamptz NOT NULL,
    joined_seq bigint NOT NULL,
    read_seq bigint NOT NULL,
    CONSTRAINT participants_pkey PRIMARY KEY (chat_id, user_id),
    CONSTRAINT participants_role_check CHECK (role IN (0, 1, 2)),
    CONSTRAINT participants_read_seq_check CHECK (read_seq >= 0),
    CONSTRAINT participants_chat_id_fkey FOREIGN KEY (chat_id) REFERENCES chats (id),
    CONSTRAINT participants_user_id_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
) WITH (fillfactor = 70);

CREATE INDEX participants_user_id_idx ON participants (tenant_id, user_id, chat_id);
CREATE INDEX participants_joined_at_idx ON participants (chat_id, joined_at, user_id);

COMMENT ON TABLE participants IS 'Who is in which chat now. Who was in it before stands in chat_events.';
COMMENT ON COLUMN participants.chat_id IS 'The chat.';
COMMENT ON COLUMN participants.user_id IS 'The person.';
COMMENT ON COLUMN participants.tenant_id IS 'The tenant of both.';
COMMENT ON COLUMN participants.role IS '0 member, 1 admin, 2 owner.';
COMMENT ON COLUMN participants.joined_at IS 'When the person was added, last time.';
COMMENT ON COLUMN participants.joined_seq IS 'The log entry that added the person, last time.';
COMMENT ON COLUMN participants.read_seq IS 'The read mark: everything up to this log entry is read. It never moves back.';
