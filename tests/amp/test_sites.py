from __future__ import annotations

from ampbench.amp.sites import sites
from ampbench.graph import Factor


def test_contained_tuples_are_dropped_and_judged_in_the_larger_one() -> None:
    """Collider a -> x <- b: {b, x} lies inside {a, b, x}, where both are judged given x."""
    collider = (Factor("b", ("x",)), Factor("a", ("x", "b")))
    (site,) = sites(collider, ["x"], "local")
    assert set(site.variables) == {"a", "b"}
    assert site.context == ("x",)


def test_every_latent_is_judged_somewhere() -> None:
    diamond = (Factor("c", ("x",)), Factor("b", ("x", "c")), Factor("a", ("c", "b")))
    judged = {name for site in sites(diamond, ["x"], "local") for name in site.variables}
    assert judged == {"a", "b", "c"}
    assert len(sites(diamond, ["x"], "global")) == 1
