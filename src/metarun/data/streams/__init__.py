"""Streams: where their rows come from."""
