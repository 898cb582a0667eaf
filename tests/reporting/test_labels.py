"""Labels of methods in tables: short, distinct, and spelled out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ampbench.reporting.labels import MAX_SPEC_LENGTH, labels, legend
from ampbench.spec import Spec

FAMILIES = ("flow", "implicit", "implicit(depth=3,width=128)", "implicit(depth=3,width=64)")
SPECS = st.builds(
    lambda name, options: str(Spec(name, tuple(sorted(options.items())))),
    st.sampled_from(["amp", "npe"]),
    st.fixed_dictionaries(
        {},
        optional={
            "divergence": st.sampled_from(["forward-kl", "jsd"]),
            "family": st.sampled_from(FAMILIES),
            "steps": st.sampled_from(["3000", "9000"]),
            "batch_size": st.sampled_from(["128", "256"]),
        },
    ),
)
AMP = "amp:divergence=forward-kl,family="


@given(st.lists(SPECS | st.text(), unique=True))
def test_labels_are_distinct_and_no_longer_than_specs(methods: list[str]) -> None:
    named = labels(methods)
    assert list(named) == methods
    assert len(set(named.values())) == len(methods)
    assert all(len(label) <= len(method) for method, label in named.items())
    assert all(named[method] == method for method in methods if len(method) <= MAX_SPEC_LENGTH)


def test_a_label_holds_what_differs_and_nothing_that_does_not() -> None:
    named = labels([f"{AMP}flow,steps=3000", f"{AMP}{FAMILIES[2]},steps=3000", f"{AMP}{FAMILIES[3]},steps=3000", "npe"])
    assert [*named.values()] == [
        "amp forward-kl flow",
        f"amp forward-kl {FAMILIES[2]}",
        f"amp forward-kl {FAMILIES[3]}",
        "npe",
    ]
    assert [*labels([f"{AMP}flow,steps=3000", f"{AMP}flow"]).values()] == [
        "amp forward-kl flow steps=3000",
        "amp forward-kl flow",
    ]


def test_a_label_that_another_method_has_for_its_name_is_not_given() -> None:
    """A frame may come from elsewhere, with any names."""
    methods = ["amp forward-kl flow", f"{AMP}flow,steps=3000"]
    assert [*labels(methods).values()] == methods


def test_the_legend_spells_out_what_was_shortened() -> None:
    assert legend(labels(["npe", f"{AMP}flow,steps=3000"])) == [f"amp forward-kl flow: {AMP}flow,steps=3000"]
