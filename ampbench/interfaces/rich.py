"""Display of objects in notebooks, as HTML; every text that is shown is escaped by :func:`ampbench.text.in_html`."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.text import in_html


def facts(title: str, rows: Mapping[str, str]) -> str:
    """Return a table of facts under a title, one row each.

    Example:
        >>> facts("Posterior", {"method": "npe"})
        '<table><caption>Posterior</caption><tr><th>method</th><td>npe</td></tr></table>'
    """
    body = "".join(f"<tr><th>{in_html(name)}</th><td>{in_html(value)}</td></tr>" for name, value in rows.items())
    return f"<table><caption>{in_html(title)}</caption>{body}</table>"
