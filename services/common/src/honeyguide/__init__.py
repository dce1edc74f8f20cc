"""Shared parts of Honeyguide: the generated API, server, client, settings, errors and telemetry."""
