"""All of Honeyguide on one machine: supervisor, in-process engine, command line and demo."""
