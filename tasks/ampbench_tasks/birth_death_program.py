"""A stand-alone simulator of the linear birth-death process, for the task ``external``: no torch, no numpy.

It reads JSON lines from standard input: first ``{"seed": 123, "n": 2}``, then one list ``[birth rate, death rate]`` per
simulation. For each simulation it writes the list of the populations at the times 0.3, 0.6, …, 3.0, starting from 10 at
time 0. :class:`ampbench.graph.external.External` starts it as ``python birth_death_program.py``; a program in any
language that follows this protocol can replace it.

References:
    Gillespie 1977, *Exact stochastic simulation of coupled chemical reactions*, doi:10.1021/j100540a008.
"""

from __future__ import annotations

import json
import random
import sys

START, LENGTH, INTERVAL = 10, 10, 0.3


def simulate(birth: float, death: float, generator: random.Random) -> list[int]:
    """Return the populations at the observation times."""
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
    """Simulate once for each line of standard input."""
    generator = random.Random(json.loads(sys.stdin.readline())["seed"])
    for line in sys.stdin:
        birth, death = json.loads(line)
        print(json.dumps(simulate(birth, death, generator)))


if __name__ == "__main__":
    main()
