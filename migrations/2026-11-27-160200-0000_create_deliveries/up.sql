-- A lane is what is claimed, and there is one for each target: so a target gets one delivery at a time, in their order,
-- and one that fails is waited for without a look at those behind it. All times are the database's.
CREATE TABLE delivery_lanes (
    id bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id text COLLATE "C" NOT NULL,
    sink text COLLATE "C" NOT NULL,
    chat_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    due_at timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    holder uuid,
    CONSTRAINT delivery_lanes_pkey PRIMARY KEY (id),
    CONSTRAINT delivery_lanes_target_key UNIQUE (tenant_id, sink, chat_id, user_id)
);

CREATE INDEX delivery_lanes_due_idx ON delivery_lanes (tenant_id, sink, due_at);

COMMENT ON TABLE delivery_lanes IS 'The targets that something is to be delivered to: a sink and a chat, and a person where it is about one.';
COMMENT ON COLUMN delivery_lanes.id IS 'Numbers the lanes. A lane goes with its last delivery; the target gets another one.';
COMMENT ON COLUMN delivery_lanes.tenant_id IS 'The tenant of the sink and the chat.';
COMMENT ON COLUMN delivery_lanes.sink IS 'The name of the sink.';
COMMENT ON COLUMN delivery_lanes.chat_id IS 'The chat.';
COMMENT ON COLUMN delivery_lanes.user_id IS 'Whom the notifications are for; empty for events.';
COMMENT ON COLUMN delivery_lanes.due_at IS 'When the first delivery may be tried; while somebody tries it, when they count as dead.';
COMMENT ON COLUMN delivery_lanes.failures IS 'How many times in a row nothing could be delivered: what the wait grows with.';
COMMENT ON COLUMN delivery_lanes.holder IS 'Who delivers just now: a random number of each claim; null while nobody does.';

ALTER TABLE delivery_lanes ENABLE ROW LEVEL SECURITY;
CREATE POLICY delivery_lanes_of_tenant ON delivery_lanes USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY delivery_lanes_of_tenant ON delivery_lanes IS 'Rows of the tenant that the session works for.';

CREATE TABLE deliveries (
    lane_id bigint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    from_seq bigint,
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT deliveries_pkey PRIMARY KEY (lane_id, id)
);

COMMENT ON TABLE deliveries IS 'What is to be delivered. The content is read from the log when it is; what was delivered goes.';
COMMENT ON COLUMN deliveries.lane_id IS 'The lane it waits in.';
COMMENT ON COLUMN deliveries.id IS 'The order within the lane.';
COMMENT ON COLUMN deliveries.tenant_id IS 'The tenant of the lane.';
COMMENT ON COLUMN deliveries.seq IS 'The event; of a notification, the newest message that it tells of.';
COMMENT ON COLUMN deliveries.from_seq IS 'The oldest message that a notification tells of; null for events.';
COMMENT ON COLUMN deliveries.attempts IS 'How many times it was tried in vain.';
COMMENT ON COLUMN deliveries.created_at IS 'When it came into the lane, by the database''s clock.';

ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY;
CREATE POLICY deliveries_of_tenant ON deliveries USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY deliveries_of_tenant ON deliveries IS 'Rows of the tenant that the session works for.';

CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id text COLLATE "C" NOT NULL,
    sink text COLLATE "C" NOT NULL,
    chat_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    from_seq bigint,
    attempts integer NOT NULL,
    failure smallint NOT NULL,
    status smallint,
    created_at timestamptz NOT NULL,
    died_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dead_letters_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT dead_letters_failure_check CHECK (failure BETWEEN 0 AND 8)
);

COMMENT ON TABLE dead_letters IS 'Deliveries that were given up. An administrator can have them tried again.';
COMMENT ON COLUMN dead_letters.id IS 'Numbers them, with gaps.';
COMMENT ON COLUMN dead_letters.tenant_id IS 'The tenant of the sink and the chat.';
COMMENT ON COLUMN dead_letters.sink IS 'The name of the sink.';
COMMENT ON COLUMN dead_letters.chat_id IS 'The chat.';
COMMENT ON COLUMN dead_letters.user_id IS 'Whom the notification was for; empty for events.';
COMMENT ON COLUMN dead_letters.seq IS 'The event; of a notification, the newest message that it tells of.';
COMMENT ON COLUMN dead_letters.from_seq IS 'The oldest message that a notification tells of; null for events.';
COMMENT ON COLUMN dead_letters.attempts IS 'How many times it was tried.';
COMMENT ON COLUMN dead_letters.failure IS 'Why the last try failed: 0 unreachable, 1 address not allowed, 2 TLS, 3 timed out, 4 broken off, 5 refused for now, 6 refused for good, 7 not sent, 8 the server died.';
COMMENT ON COLUMN dead_letters.status IS 'What the sink answered: a status of HTTP, or a code of SMTP; null where it said nothing.';
COMMENT ON COLUMN dead_letters.created_at IS 'When it was first to be delivered.';
COMMENT ON COLUMN dead_letters.died_at IS 'When it was given up, by the database''s clock.';

ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY;
CREATE POLICY dead_letters_of_tenant ON dead_letters USING (tenant_id = current_setting('colloquy.tenant', true));
COMMENT ON POLICY dead_letters_of_tenant ON dead_letters IS 'Rows of the tenant that the session works for.';
