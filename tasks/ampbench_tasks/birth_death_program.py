"""A stand-alone simulator of the linear birth-death process, for the task ``external``: no torch, no numpy.

It reads JSON lines from standard input: first ``{"seed": 123, "n": 2}``, then one list ``[birth rate, death rate]`` per
simulation; and writes, for each, the list of the populations at the times 0.3, 0.6, …, 3.0, from 10 at time 0. It is
started as ``python birth_death_program.py`` by :class:`ampbench.graph.external.External`, which any program in any
language that keeps to these lines could be.

References:
    Gillespie 1977, *Exact stochastic simulation of coupled chemical reactions*, doi:10.1021/j100540a008.
"""

from __future__ import annotations

import json
import random
import sys

START, LENGTH, INTERVAL = 10, 10, 0.3


def simulate(birth: float, death: float, generator: random.Random) -> list[int]:
    """Return the populations at the observed times."""
    counts: list[int] = []
    population, time = START, 0.0
    while len(counts) < LENGTH:
        total = (birth + death) * population
        time += generator.expovariate(total) if total > 0 else float("inf")
        while len(counts) < LENGTH and (len(counts) + 1) * INTERVAL < time:
            counts.append(population)
        population += 1 if generator.random() * (birth + death) < birth else -1
    return counts


def main() -> None:
    """Answer each line of standard input."""
    generator = random.Random(json.loads(sys.stdin.readline())["seed"])
    for line in sys.stdin:
        birth, death = json.loads(line)
        print(json.dumps(simulate(birth, death, generator)))


if __name__ == "__main__":
    main()
