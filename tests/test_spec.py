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
        ("( (mmd:bandwidths=3) )", "mmd", {"bandwidths": "3"}),
        ("amp:f.z_1=(g:a=1,b=2),f.z0=h,f=k", "amp", {"f": "k", "f.z0": "h", "f.z_1": "(g:a=1,b=2)"}),
        ("amp:f.θ=1,f.2=3", "amp", {"f.2": "3", "f.θ": "1"}),
    ],
)
def test_reads(text: str, name: str, options: dict[str, str]) -> None:
    spec = Spec.parse(text)
    assert (spec.name, dict(spec.options)) == (name, options)
    assert Spec.parse(str(spec)) == spec == Spec.parse(spec.nested())


BROKEN = [
    "()",
    "(a",
    "a)",
    "(a)(b)",
    "(a),(b)",
    "amp:f.=1",
    "amp:.f=1",
    "amp:f.a.b=1",
    "amp:f.a-b=1",
    "amp:f.a=1,f.a=2",
]


@pytest.mark.parametrize(
    "text", ["", ":", "amp:", "amp:a", "amp:=1", "a b", "amp:a=(", "amp:a=)(", "amp:a=1,a=2", *BROKEN]
)
def test_refuses(text: str) -> None:
    with pytest.raises(UsageError):
        Spec.parse(text)


@pytest.mark.parametrize("text", ["amp:a=\x1b[31m", "amp:a=\x00", "amp:a=\u202e", "amp:a=\ud800"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="control characters") as caught:
        Spec.parse(text)
    assert str(caught.value).isprintable()


def test_a_spec_may_go_over_several_lines() -> None:
    assert (
        str(Spec.parse("amp:\n  family=implicit(\n\twidth=64),\n  steps=1\n"))
        == "amp:family=implicit( width=64),steps=1"
    )


def test_nesting_has_an_end() -> None:
    assert Spec.parse("a:b=" + "c(d=" * 49 + "1" + ")" * 49)
    with pytest.raises(UsageError, match="nested more than 50 deep"):
        Spec.parse("a:b=" + "c(d=" * 51 + "1" + ")" * 51)
    with pytest.raises(UsageError, match="nested more than 50 deep"):
        Spec.parse("a:b=" + "(" * 10**6)


@given(st.text(max_size=30) | st.text("ab.:=,() ", max_size=30))
def test_never_crashes(text: str) -> None:
    try:
        spec = Spec.parse(text)
    except UsageError:
        return
    assert Spec.parse(str(spec)) == spec
