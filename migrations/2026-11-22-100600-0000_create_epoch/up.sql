CREATE TABLE epoch (
    id smallint NOT NULL DEFAULT 1,
    value uuid NOT NULL DEFAULT gen_random_uuid(),
    started_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT epoch_pkey PRIMARY KEY (id),
    CONSTRAINT epoch_id_check CHECK (id = 1)
);

INSERT INTO epoch DEFAULT VALUES;

COMMENT ON TABLE epoch IS 'The life of this database''s logs, one row. It changes when numbers could be given out a second time: after a restore.';
COMMENT ON COLUMN epoch.id IS 'Always 1.';
COMMENT ON COLUMN epoch.value IS 'Part of every event cursor: a cursor of another epoch has expired.';
COMMENT ON COLUMN epoch.started_at IS 'When the epoch began.';
