"""Each broken component fails a conformance test whose words name its fault; the sound ones pass all."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from ampbench.registry import Plugin
from ampbench.seeding import seeded
from ampbench.testing.finding import Finding, Sources, explained
from ampbench.testing.registered import conformance, in_words, names_of

FOLDER = Path(__file__).parent / "mutant_plugin"
PLUGIN = Plugin("mutants", "ampbench-mutants", "1.0", "ampbench_mutants")

FAULTS = {
    "divergences": {
        "wrong-shape": ("losses are finite scalars", "family_loss has shape (2, 512)", "WrongShape.family_loss"),
        "nan": ("losses are finite scalars", "adversary_loss are NaN or infinite", "NotANumber.adversary_loss"),
        "no-tensor": ("losses are finite scalars", "of type float", "NoTensor.family_loss"),
        "random": ("same seed same losses", "family_loss differs", "Random.family_loss"),
        "constant": ("families descend towards p", "does not depend on the samples of q", "Constant.family_loss"),
        "wrong-sign": ("families descend towards p", "has the slope -", "WrongSign.family_loss"),
        "ignores-context": ("towards the relation to the context", "the loss has the slope", "family_loss"),
        "mutates": ("inputs are left alone", "changed its input p.variable", "Mutates.adversary_loss"),
        "raises": ("losses are finite scalars", "raised ValueError: the width", "family_loss"),
        "wrong-ratio": ("log ratio", "root-mean-square error", "WrongRatio.log_ratio"),
        "idle-weight": ("every adversary weight", "does not depend on idle", "adversary_loss"),
        "no-divergence": ("is made", "makes a SoundMetric", "SoundMetric"),
    },
    "families": {
        "wrong-shape": (
            "shapes",
            "log-density for 1 features and contexts of shape (7, 0) has shape (7, 1)",
            "<lambda>",
        ),
        "nan": ("shapes", "NaN or infinite", "<lambda>"),
        "random": ("seed and noise", "a sample with one seed differs", "own_noise"),
        "constant": ("seed and noise", "20 samples given one context is always", "<lambda>"),
        "ignores-context": ("samples depend on the context", "are equal", "forward"),
        "mutates": ("samples depend on the context", "changed its input context", "<lambda>"),
        "raises": ("shapes", "raised KeyError: 'no such key'", "<lambda>"),
        "no-gradient": ("every weight gets a gradient", "a sample has no gradient", "<lambda>"),
        "wrong-gradient": ("gradient through the samples", "the gradient of E[f(x)] through samples", "half_detached"),
        "wrong-density": ("density belongs to the samples", "variance of 20,000 samples", "wrong_density"),
        "narrow": ("density belongs to the samples", "variance of 20,000 samples", "log_prob"),
    },
    "tasks": {
        "wrong-likelihood": ("likelihood and simulator agree", "contradict the log-likelihood", "log_likelihood"),
        "summed-likelihood": ("likelihood and simulator agree", "has shape (5, 2)", "log_likelihood"),
        "one-row": ("simulations", "all 100 simulations of x are", "SoundTask.graph"),
        "random": ("simulations", "simulated with one seed, differs", "SoundTask.graph"),
        "nan": ("simulations", "NaN", ""),
        "short": ("simulations", "99", ""),
        "wrong-reference": ("reference is calibrated", "ranks of component", "WrongReference.reference"),
        "unseeded-reference": ("reference", "the reference with one seed differs", "UnseededReference.reference"),
        "careless-reference": ("bad observations", "an observation that", "CarelessReference.reference"),
    },
    "methods": {
        "no-posterior": ("fit and sample", "it is a str", "NoPosterior.fit"),
        "overspends": ("fit and sample", "301 simulations asked for", "fit"),
        "wrong-shape": ("fit and sample", "has shape (50, 1)", "<lambda>"),
        "nan": ("fit and sample", "NaN or infinite", "<lambda>"),
        "random": ("same seed same numbers", "a second fit with one seed differs", "fit"),
        "constant": ("samples vary", "draws is always", "<lambda>"),
        "ignores-data": ("samples vary", "have the distance", "<lambda>"),
        "mutates": ("fit and sample", "changed its input observation", "<lambda>"),
        "raises": ("fit and sample", "ZeroDivisionError", "<lambda>"),
        "wrong-density": ("fit and sample", "the mean of 1 / density", "<lambda>"),
    },
    "metrics": {
        "nan": ("orders distributions", "the value is nan", "MetricNan.measure"),
        "tensor": ("orders distributions", "of type Tensor", "MetricTensor.measure"),
        "number": ("orders distributions", "returned a float", "MetricNumber.measure"),
        "constant": ("orders distributions", "score 0.5, and samples of another one 0.5", "MetricConstant.measure"),
        "reversed": ("orders distributions", "score -", "MetricReversed.measure"),
        "random": ("orders distributions", "two calls gave", "MetricRandom.measure"),
        "mutates": ("orders distributions", "changed its input samples", "MetricMutates.measure"),
        "scatters": ("samples of one distribution score alike", "three sets", "MetricScatters.measure"),
        "careless": ("shared rows", "compared with itself without a word", "MetricCareless.measure"),
    },
}
CASES = [(kind, name, *words) for kind, faults in FAULTS.items() for name, words in faults.items()]
TRAINED = {"wrong-ratio", "ignores-context", "wrong-reference", "wrong-likelihood"}
"""Faults that are found by training an adversary, or by many simulations, in several seconds."""


@pytest.fixture(scope="module")
def mutants() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))
    yield import_module("ampbench_mutants")
    sys.path.remove(str(FOLDER))


def findings(kind: str, component: object, wanted: str = "") -> list[Finding]:
    """Run the tests of a component in this process up to the first failure, from the one whose name is wanted."""
    sources = Sources(PLUGIN.package)
    try:
        tests = conformance(kind, component)
    except AssertionError as error:
        return [explained(Finding("is made"), error, sources, component)]
    found = []
    for name in names_of(tests):
        check = Finding(in_words(name))
        if wanted and not check.check.startswith(wanted) and wanted not in check.check:
            continue
        try:
            with seeded(0), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                getattr(tests, name)()
        except Exception as error:
            cause = error.__cause__ if error.__cause__ and not isinstance(error, AssertionError) else error
            found.append(explained(check, cause, sources, tests.make()))
    return found


@pytest.mark.parametrize(
    ("kind", "name", "check", "seen", "at"),
    [
        pytest.param(*case, marks=pytest.mark.slow if case[1] in TRAINED else (), id="-".join(case[:2]))
        for case in CASES
    ],
)
def test_a_fault_is_found_and_named(mutants: ModuleType, kind: str, name: str, check: str, seen: str, at: str) -> None:
    component = getattr(mutants, kind)()[f"mutant-{name}"]
    found = findings(kind, component, "" if check == "is made" else check)
    assert found, f"{check} passes"
    (first, *_) = found
    assert check in first.check
    assert seen in first.seen
    assert first.expected
    assert first.advice
    assert at in first.place.function
    if at:
        assert first.place.file == str(FOLDER / "ampbench_mutants.py")
        assert first.place.code in inspect.getsource(mutants).splitlines()[first.place.line - 1]


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in ("methods", "metrics") else pytest.mark.slow) for kind in FAULTS]
)
def test_sound_components_pass(mutants: ModuleType, kind: str) -> None:
    assert findings(kind, getattr(mutants, kind)()["mutant-sound"]) == []
