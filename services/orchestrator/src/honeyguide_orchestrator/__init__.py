"""Decides, fans out, merges, ranks and learns, for Honeyguide."""
