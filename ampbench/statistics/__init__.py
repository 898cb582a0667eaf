"""Statistics that know nothing of inference: tests, intervals, scoring rules, calibration, kernels."""
