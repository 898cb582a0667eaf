from ampbench_hellinger import Hellinger

from ampbench.testing import DivergenceConformance


class TestHellinger(DivergenceConformance):
    def make(self) -> Hellinger:
        return Hellinger()
