"""Import paths that stay, whatever moves behind them."""

from __future__ import annotations

import importlib

import pytest

STABLE = {
    "ampbench": (
        "AMP Graph Node Simulator fit hookimpl infer infer_graph learn load restore restore_graph save validate "
        "interfaces results testing"
    ),
    "ampbench.graph": "Graph Node density simulator learned join Factor Simulator",
    "ampbench.interfaces": (
        "CanDiagnose CanRestore Conditional Default Divergence Executor Family Fitted HasDensity HasGolden HasHistory "
        "HasLikelihood HasLogRatio HasReference HasState Measurement Method Metric NeedsSetting Observation Oracle "
        "Posterior Progress Sequential Setting ShipsReference Task Tuples check_observation silent"
    ),
    "ampbench.amp": "AMP",
    "ampbench.api": "fit infer infer_graph learn restore restore_graph save",
    "ampbench.results": "load validate Run Record",
    "ampbench.networks": (
        "Adversary ResidualMLP ContextFeatures NormalConditional BernoulliConditional ImplicitConditional"
    ),
    "ampbench.testing": (
        "DiscreteFamilyConformance DivergenceConformance ExecutorConformance FamilyConformance MethodConformance "
        "MetricConformance SettingMetricConformance TaskConformance check_density"
    ),
    "ampbench.cli": "main",
    "ampbench.registry": "Lazy Plugin Registry load",
    "ampbench.hookspecs": "KINDS Lazy hookimpl hookspec",
}


@pytest.mark.parametrize(("module", "name"), [(m, name) for m, names in STABLE.items() for name in names.split()])
def test_stable_names(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) is not None


def test_the_function_that_makes_a_simulator_node_is_no_module() -> None:
    """A module of this name in the package would replace the function once it is imported."""
    assert callable(importlib.import_module("ampbench.graph").simulator)
