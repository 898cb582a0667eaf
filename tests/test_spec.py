from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampbench.errors import UsageError
from ampbench.spec import Spec


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("npe", "npe", {}),
        ("amp:a=,b=1", "amp", {"a": "", "b": "1"}),
        ("amp:b=1,a=x", "amp", {"a": "x", "b": "1"}),
        ("implicit(noise=3)", "implicit", {"noise": "3"}),
        ("amp:f=g(a=1,b=h(c=2,d=3)),e=4", "amp", {"e": "4", "f": "g(a=1,b=h(c=2,d=3))"}),
    ],
)
def test_reads(text: str, name: str, options: dict[str, str]) -> None:
    spec = Spec.parse(text)
    assert (spec.name, dict(spec.options)) == (name, options)
    assert Spec.parse(str(spec)) == spec == Spec.parse(spec.nested())


@pytest.mark.parametrize("text", ["", ":", "amp:", "amp:a", "amp:=1", "a b", "amp:a=(", "amp:a=)(", "amp:a=1,a=2"])
def test_refuses(text: str) -> None:
    with pytest.raises(UsageError):
        Spec.parse(text)


@given(st.text(max_size=30))
def test_never_crashes(text: str) -> None:
    try:
        spec = Spec.parse(text)
    except UsageError:
        return
    assert Spec.parse(str(spec)) == spec
