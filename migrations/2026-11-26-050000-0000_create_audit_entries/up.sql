-- No foreign keys: an entry outlives what it is about.
CREATE TABLE audit_entries (
    id bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id text COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    actor_id text COLLATE "C" NOT NULL,
    act smallint NOT NULL,
    chat_id uuid,
    message_id uuid,
    user_id text COLLATE "C",
    data jsonb NOT NULL,
    request_id text,
    token_id text,
    CONSTRAINT audit_entries_pkey PRIMARY KEY (id),
    CONSTRAINT audit_entries_act_check CHECK (act BETWEEN 0 AND 7)
);

CREATE INDEX audit_entries_tenant_id_idx ON audit_entries (tenant_id, id);

-- Rights could not say this: the owner of the table is who writes it.
CREATE FUNCTION audit_entries_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are neither changed nor deleted';
END
$$;

CREATE TRIGGER audit_entries_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_are_kept();

COMMENT ON TABLE audit_entries IS 'What administrators did and read by that right. Rows are only added: a trigger refuses everything else.';
COMMENT ON COLUMN audit_entries.id IS 'Numbers the entries, with gaps.';
COMMENT ON COLUMN audit_entries.tenant_id IS 'The tenant of the actor and of what it is about.';
COMMENT ON COLUMN audit_entries.occurred_at IS 'When it was done.';
COMMENT ON COLUMN audit_entries.actor_id IS 'Who did it.';
COMMENT ON COLUMN audit_entries.act IS '0 chat read, 1 message deleted, 2 message restored, 3 chat deleted, 4 chat restored, 5 participant removed, 6 role changed, 7 tokens revoked.';
COMMENT ON COLUMN audit_entries.chat_id IS 'The chat, for acts 0 to 6.';
COMMENT ON COLUMN audit_entries.message_id IS 'The message, for acts 1 and 2.';
COMMENT ON COLUMN audit_entries.user_id IS 'The person it was done to, for acts 5 to 7.';
COMMENT ON COLUMN audit_entries.data IS 'What the act needs besides: the role, or which tokens.';
COMMENT ON COLUMN audit_entries.request_id IS 'The id of the HTTP request, or of the one that opened the WebSocket.';
COMMENT ON COLUMN audit_entries.token_id IS 'What the actor''s token is called (jti); null where it has no name.';
