"""How adapted tasks are scored: errors on held-out labels, or lists of the whole catalogue."""
