"""Peak memory of a process that does one thing; torch and the packages take 0.3 GB of it."""

from __future__ import annotations

import torch

from ampbench.seeding import seeded

from .common import fitted, task


class Memory:
    """Fits to 100,000 simulations, simulations themselves, and metrics."""

    timeout = 300

    def peakmem_simulate_slcp_distractors(self) -> None:
        task("slcp_distractors").graph.sample(100_000)

    def peakmem_fit_jsd_implicit(self) -> None:
        fitted("amp:divergence=jsd,family=implicit,steps=10", "slcp", budget=100_000)

    def peakmem_fit_forward_kl_flow(self) -> None:
        fitted("amp:divergence=forward-kl,family=flow,steps=10", "slcp", budget=100_000)

    def peakmem_fit_templates(self) -> None:
        from ampbench.graph import Simulator
        from ampbench.interfaces import fit
        from ampbench_tasks.lgssm import template

        from .common import method

        spec = "amp-templates:divergence=energy,family=implicit,particles=2,steps=10"
        fit(method(spec), Simulator(template((10, 100)), ["x"], 100_000, seed=0))

    def peakmem_c2st_early(self) -> None:
        from ampbench.metrics.c2st import EarlyC2ST

        with seeded(0):
            EarlyC2ST().measure(torch.randn(10_000, 10), torch.randn(10_000, 10))
