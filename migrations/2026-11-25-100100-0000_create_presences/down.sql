ALTER TABLE users
    DROP COLUMN presence_visible,
    DROP COLUMN last_seen_at;

DROP TABLE presences;
DROP TABLE servers;
