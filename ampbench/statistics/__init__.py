"""Statistics that do not depend on the rest of ampbench: tests, intervals, scoring rules, calibration, kernels."""
