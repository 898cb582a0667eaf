"""Interfaces of plugins: Task, Divergence, Family, Method, Posterior, Metric, Executor.

Each is an abstract class with few duties. Optional abilities are classes of their own (:class:`HasReference`,
:class:`HasLikelihood`, :class:`HasDensity`, …) and are asked for by type.

A component whose numbers come from another package than torch and numpy names it in a class attribute, such as
``packages = ("scikit-learn",)``: a result belongs to the versions that it was computed with.
"""

from ampbench.interfaces.description import Description
from ampbench.interfaces.divergence import Divergence, HasLogRatio
from ampbench.interfaces.executor import Executor, Job, Limits
from ampbench.interfaces.family import Conditional, Family
from ampbench.interfaces.method import (
    CanRestore,
    Default,
    HasRevision,
    Method,
    UnfinishedFitError,
    fit,
    rebuild,
)
from ampbench.interfaces.metric import Measurement, Metric, NeedsSetting, Setting
from ampbench.interfaces.posterior import (
    CanDiagnose,
    Fitted,
    HasDensity,
    HasEffectiveShare,
    HasHistory,
    HasState,
    Posterior,
    Progress,
    Sequential,
    by_observation,
    silent,
)
from ampbench.interfaces.task import (
    HasGolden,
    HasLikelihood,
    HasReference,
    Observation,
    Oracle,
    ShipsReference,
    Task,
    check_observation,
)
from ampbench.interfaces.tuples import Tuples

__all__ = [
    "CanDiagnose",
    "CanRestore",
    "Conditional",
    "Default",
    "Description",
    "Divergence",
    "Executor",
    "Family",
    "Fitted",
    "HasDensity",
    "HasEffectiveShare",
    "HasGolden",
    "HasHistory",
    "HasLikelihood",
    "HasLogRatio",
    "HasReference",
    "HasRevision",
    "HasState",
    "Job",
    "Limits",
    "Measurement",
    "Method",
    "Metric",
    "NeedsSetting",
    "Observation",
    "Oracle",
    "Posterior",
    "Progress",
    "Sequential",
    "Setting",
    "ShipsReference",
    "Task",
    "Tuples",
    "UnfinishedFitError",
    "by_observation",
    "check_observation",
    "fit",
    "rebuild",
    "silent",
]
