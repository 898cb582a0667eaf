"""Display of objects in notebooks, as HTML; every text that is shown is escaped by :func:`ampbench.text.in_html`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ampbench.text import in_html

if TYPE_CHECKING:
    import pandas as pd


def facts(title: str, rows: Mapping[str, str]) -> str:
    """Return a table of facts under a title, one row each.

    Example:
        >>> facts("Posterior", {"method": "npe"})
        '<table><caption>Posterior</caption><tr><th>method</th><td>npe</td></tr></table>'
    """
    body = "".join(f"<tr><th>{in_html(name)}</th><td>{in_html(value)}</td></tr>" for name, value in rows.items())
    return f"<table><caption>{in_html(title)}</caption>{body}</table>"


def table(title: str, frame: pd.DataFrame) -> str:
    """Return a frame of texts as a table under a title, with its columns as headings and its index before each row."""
    heading = "".join(f"<th>{in_html(str(each))}</th>" for each in ["" if frame.index.name is None else frame.index.name, *frame])
    rows = "".join(
        f"<tr><th>{in_html(str(name))}</th>{''.join(f'<td>{in_html(str(cell))}</td>' for cell in row)}</tr>"
        for name, row in zip(frame.index, frame.itertuples(index=False), strict=True)
    )
    return f"<table><caption>{in_html(title)}</caption><thead><tr>{heading}</tr></thead><tbody>{rows}</tbody></table>"
