"""Labelled images: what they are, where they are read from, how their classes are split."""

from __future__ import annotations

from metarun.data.images.images import Images

__all__ = ["Images"]
