-- A server renews one row of its own, however many people are connected to it; a person costs a write only
-- when they arrive and when they leave.
CREATE TABLE servers (
    id bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT servers_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE servers IS 'The servers that people are connected to. A row that has expired is of a server that stopped or died.';
COMMENT ON COLUMN servers.id IS 'The random number under which the server also rings the doorbell.';
COMMENT ON COLUMN servers.seen_at IS 'When the server last renewed the row, by the database''s clock.';
COMMENT ON COLUMN servers.expires_at IS 'Until when the row holds without being renewed.';

CREATE TABLE presences (
    tenant_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    server_id bigint NOT NULL,
    arrived_at timestamptz NOT NULL,
    CONSTRAINT presences_pkey PRIMARY KEY (tenant_id, user_id, server_id),
    CONSTRAINT presences_server_id_fkey FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE
);

CREATE INDEX presences_server_id_idx ON presences (server_id);

COMMENT ON TABLE presences IS 'Who is connected to which server. A person is online while one of their servers'' rows has not expired.';
COMMENT ON COLUMN presences.tenant_id IS 'The tenant of the person.';
COMMENT ON COLUMN presences.user_id IS 'The person.';
COMMENT ON COLUMN presences.server_id IS 'The server.';
COMMENT ON COLUMN presences.arrived_at IS 'When the person arrived there.';

ALTER TABLE users
    ADD COLUMN last_seen_at timestamptz,
    ADD COLUMN presence_visible boolean NOT NULL DEFAULT true;

COMMENT ON COLUMN users.last_seen_at IS 'When the person last left a server; null until then.';
COMMENT ON COLUMN users.presence_visible IS 'Whether the person lets others see whether they are online.';
