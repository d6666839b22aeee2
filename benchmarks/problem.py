"""What all programs compute: every sample's gradient for f(z) = sum (z - 1)^2, z ~ N(loc, scale^2), d coordinates."""

import numpy as np

LOC, SCALE, STEP = 3.0, 2.0, 1e-2
EXACT = {"loc": 2.0 * (LOC - 1.0), "scale": 2.0 * SCALE}
ESTIMATORS = (
    "pathwise",
    "score_function",
    "score_function, leave one out",
    "score_function, optimal",
    "measure_valued",
    "measure_valued, independent",
    "finite_difference",
    "finite_difference, independent",
)


def check(program, samples):
    """The mean of every gradient is the exact one, to six standard errors and float32's rounding of a difference."""
    for parameter, exact in EXACT.items():
        g = np.asarray(samples[parameter], dtype=np.float64)
        rounding = 1e-3 if "difference" in program else 1e-5
        tolerance = 6.0 * g.std(axis=0, ddof=1) / np.sqrt(len(g)) + rounding * np.abs(g).max()
        if (np.abs(g.mean(axis=0) - exact) > tolerance).any():
            raise SystemExit(f"{program}: the gradient of {parameter} is {g.mean(axis=0)} instead of {exact}")
