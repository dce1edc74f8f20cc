"""What people chose before, for Honeyguide, on Redis."""
