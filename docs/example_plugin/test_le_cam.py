from ampbench_le_cam import LeCam

from ampbench.testing import DivergenceConformance


class TestLeCam(DivergenceConformance):
    def make(self) -> LeCam:
        return LeCam()
