CREATE TABLE users (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    display_name text,
    display_name_at timestamptz,
    avatar_url text,
    avatar_url_at timestamptz,
    created_at timestamptz NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT users_tenant_id_check CHECK (char_length(tenant_id) BETWEEN 1 AND 255),
    CONSTRAINT users_id_check CHECK (char_length(id) BETWEEN 1 AND 255)
);

COMMENT ON TABLE users IS 'People as the application''s identity provider knows them, one row per tenant and subject.';
COMMENT ON COLUMN users.tenant_id IS 'The tenant the person belongs to; every other table repeats it.';
COMMENT ON COLUMN users.id IS 'The subject of the person''s tokens.';
COMMENT ON COLUMN users.display_name IS 'The name claim of the newest token that carried one.';
COMMENT ON COLUMN users.display_name_at IS 'When the token that gave display_name was issued.';
COMMENT ON COLUMN users.avatar_url IS 'The picture claim of the newest token that carried one.';
COMMENT ON COLUMN users.avatar_url_at IS 'When the token that gave avatar_url was issued.';
COMMENT ON COLUMN users.created_at IS 'When the person was first seen: by a token, or by being added to a chat.';
