"""How is it run? Sweeps, plans, workers, and the path of a run from its spec to its record."""
