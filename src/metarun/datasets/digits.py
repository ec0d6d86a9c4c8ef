"""Handwritten digits of 8 x 8 pixels as a dataset of runs."""

from __future__ import annotations

from metarun.data.few_shot_images import FewShotImages
from metarun.data.images import Images, digits


class Digits(FewShotImages):
    """scikit-learn's copy of the optical recognition of handwritten digits; Alpaydin and Kaynak, UCI, 1998.

    4 digits train, 3 choose and 3 test, by the seed of the split.
    """

    shares = (0.4, 0.3, 0.3)

    def read(self) -> Images:
        """Return the images."""
        return digits.read()
