ALTER TABLE messages
    ADD COLUMN subject text,
    ADD COLUMN metadata jsonb,
    ADD COLUMN forwarded_from jsonb;

COMMENT ON COLUMN messages.subject IS 'A line above the text; null where the message has none.';
COMMENT ON COLUMN messages.metadata IS 'What the application keeps with the message, an object; null where it keeps nothing.';
COMMENT ON COLUMN messages.forwarded_from IS 'Of a forwarded message, the first original: its chat, place, id, author and time. It never changes.';
