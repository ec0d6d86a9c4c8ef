"""The 1,797 real handwritten digits, 8 x 8, that come with scikit-learn (UCI, Alpaydin and Kaynak, 1998)."""

from __future__ import annotations

import numpy as np

from metarun.data.images.images import Images, assemble
from metarun.data.images.segments import SEGMENTS
from metarun.errors import MetarunError

INK = 16  # counts of ink in the files go from 0 to this


def read() -> Images:
    """Return the digits, their counts of ink scaled from 0..16 to 0..255.

    Raises:
        MetarunError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MetarunError(
            'The digits come with scikit-learn, which is not installed: pip install "metarun[images]"'
        ) from error
    found = load_digits()
    pixels = np.rint(found.images * (255 / INK)).astype(np.uint8)[:, None]
    return assemble("digits", pixels, found.target.astype(np.int64), [str(d) for d in range(10)], descriptions=SEGMENTS)
