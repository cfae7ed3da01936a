-- What is kept no longer is found without a look at the rest.
CREATE INDEX CONCURRENTLY dead_letters_died_at_idx ON dead_letters (died_at);
