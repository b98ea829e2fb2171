-- What is read of sessions is those that were visited lately.

DROP INDEX sessions_by_end;
CREATE INDEX sessions_by_visit ON sessions (visited);
