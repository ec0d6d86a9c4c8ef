"""What is known about a digit before an image of it is seen: which segments of a seven-segment display it lights."""

from __future__ import annotations

import numpy as np

# a top, b upper right, c lower right, d bottom, e lower left, f upper left, g middle
LIT = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
SEGMENTS = np.array([[segment in lit for segment in "abcdefg"] for lit in LIT], np.float32)
"""(10, 7): 1 where a digit lights a segment; 6 and 9 with their tails."""
