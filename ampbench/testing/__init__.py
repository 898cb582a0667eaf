"""Conformance tests for plugin authors; our own components pass the same ones.

Subclass the class of your component, make the component, and let pytest find it::

    from ampbench.testing import DivergenceConformance

    class TestLeCam(DivergenceConformance):
        def make(self):
            return LeCam()
"""

from ampbench.testing.divergence import DivergenceConformance
from ampbench.testing.executor import ExecutorConformance
from ampbench.testing.family import DiscreteFamilyConformance, FamilyConformance
from ampbench.testing.method import MethodConformance, check_density
from ampbench.testing.metric import MetricConformance
from ampbench.testing.setting_metric import SettingMetricConformance
from ampbench.testing.task import TaskConformance

__all__ = [
    "DiscreteFamilyConformance",
    "DivergenceConformance",
    "ExecutorConformance",
    "FamilyConformance",
    "MethodConformance",
    "MetricConformance",
    "SettingMetricConformance",
    "TaskConformance",
    "check_density",
]
