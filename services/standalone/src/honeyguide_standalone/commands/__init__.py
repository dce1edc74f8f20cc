"""The commands of `honeyguide`, a file for each."""
