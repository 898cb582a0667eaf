"""Origins: whose results a frame shows, one's own or those of another group.

A results directory holds one's own results in ``runs``, and the bundles of other groups, as they were published, in
``bundles``. A run of another group never replaces one's own and is never taken for it: it has the same key if it has
the same inputs, and another origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

OURS = "ours"
"""The origin of one's own results."""


def marked(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame in which the methods of other groups are told apart from one's own: ``npe`` becomes ``npe [Lab]``.

    Tables that group results by method then keep the groups apart. A frame that was marked stays unchanged, and so does
    one without the column ``origin``.
    """
    if "origin" not in frame.columns or (frame["origin"] == OURS).all():
        return frame
    methods = [_marked(*pair) for pair in zip(frame["method"], frame["origin"], strict=True)]
    return frame.assign(method=methods).astype({"method": frame["method"].dtype})


def _marked(method: str, origin: str) -> str:
    mark = f" [{origin}]"
    return method if origin == OURS or method.endswith(mark) else method + mark
