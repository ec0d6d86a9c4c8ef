"""Student's t with any real degrees of freedom, from the standard library alone.

    >>> round(two_sided(12.706205, 1.0), 6), round(quantile_95(1.0), 4)
    (0.05, 12.7062)

The tail is the regularised incomplete beta function I_x(f/2, 1/2) at x = f / (f + t^2), by its continued fraction.
"""

from __future__ import annotations

import math

# Beyond it Student's t is the normal to six digits.
MANY = 1e6
# And its quantile that of the expansion.
ENOUGH = 50
TINY, CLOSE, MOST = 1e-300, 1e-14, 2000


def two_sided(t: float, freedom: float) -> float:
    """Return P(|T| >= |t|) with `freedom` >= 1 degrees; nan where t is not a number."""
    if math.isnan(t) or math.isnan(freedom):
        return math.nan
    if math.isinf(t):
        return 0.0
    if freedom > MANY:
        return math.erfc(abs(t) / math.sqrt(2))
    square = t * t
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square), square / (freedom + square))


def quantile_95(freedom: float) -> float:
    """Return how many standard errors a 95 % interval takes with `freedom` >= 1 degrees."""
    z, f = 1.959963985, freedom
    # The Cornish-Fisher expansion lies a little low, from where Newton's steps on the convex tail climb to the root.
    t = z + (z**3 + z) / (4 * f) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * f**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * f**3)
    if freedom > ENOUGH:
        return t
    scale = math.lgamma((f + 1) / 2) - math.lgamma(f / 2) - 0.5 * math.log(f * math.pi)
    for _ in range(50):
        density = math.exp(scale - (f + 1) / 2 * math.log1p(t * t / f))
        step = (two_sided(t, f) - 0.05) / (2 * density)
        t += step
        if abs(step) < 1e-10 * t:
            break
    return t


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """Return I_x(a, b), y = 1 - x, by the side on which the continued fraction is quick."""
    if x == 0.0 or y == 0.0:
        return float(y == 0.0)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, y, x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)
    return math.exp(front) / a * _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (Lentz's method)."""
    c, d = 1.0, 1.0 / _apart(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, MOST):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _apart(1.0 + term * d)
            c = _apart(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < CLOSE:
            break
    return value


def _apart(value: float) -> float:
    """Return the value, moved off zero."""
    return value if abs(value) > TINY else TINY
