"""Execution of runs: sweeps, plans, jobs, workers, and the path of a run from its spec to its record."""
