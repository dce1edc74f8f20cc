"""The demo: simulated users search a real catalogue of films, and Honeyguide learns from what they click."""
