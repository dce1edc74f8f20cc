"""Full-text retrieval for Honeyguide, on Tantivy."""
