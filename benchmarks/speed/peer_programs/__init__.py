"""Programs that run in a peer's own environment, with nothing of Honeyguide: read a job, answer queries by line."""
