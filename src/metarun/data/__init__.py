"""Data sets as columns; nothing heavy is imported before it is used."""
