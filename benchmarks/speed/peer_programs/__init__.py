"""Programs that run in a peer's own environment, with nothing of Honeyguide; `answering` is what they share."""
