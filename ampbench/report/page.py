"""The page: one HTML file with style, scripts and data inside, which loads nothing.

Texts of records and plugins reach the page in two ways. The template escapes each of them (Jinja2's autoescape). The
script reads them as JSON, in which every character that could end the element is an escape of JSON
(:func:`in_script`), and writes them into the page as text only. The content security policy allows the scripts and
styles that are part of the page, by their SHA-256, and nothing else: no other script, attribute with code, address to
load from or form. With Trusted Types, a text that a script tries to use as HTML is an error.

References:
    W3C 2024, *Content Security Policy Level 3*, https://www.w3.org/TR/CSP3/.
    W3C 2024, *Trusted Types*, https://www.w3.org/TR/trusted-types/.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ampbench.report.content import Content
from ampbench.report.payload import payload
from ampbench.report.view import view

ASSETS = files("ampbench.report") / "assets"
LIBRARIES = ("vendor/d3.min.js", "vendor/plot.umd.min.js")
SCRIPTS = (
    "base.js",
    "details.js",
    "leaderboard.js",
    "charts.js",
    "curves.js",
    "pairs.js",
    "tasks.js",
    "runs.js",
    "main.js",
)
LICENCES = ("vendor/d3.LICENSE", "vendor/plot.LICENSE")

LIBRARY_STYLES = ("'sha256-jSYQUrW7J0b3jPqhZP9C2Xh1PyJKHKXd4s0fpGGKrww='",)
"""SHA-256 of the styles that the library of the charts adds."""


def page(content: Content, reload: int = 0) -> str:
    """Return the report as HTML.

    Arguments:
        content: the content.
        reload: after how many seconds the open page loads the file again; 0 for never.
    """
    style = _asset("style.css")
    scripts = [_asset(name) for name in LIBRARIES] + ["\n".join(map(_asset, SCRIPTS))]
    return _template().render(
        policy=_policy(scripts, [style]),
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        data=in_script(payload(content)),
        reload=reload,
        licences=[_asset(name) for name in LICENCES],
        **view(content),
    )


def in_script(value: Any) -> Markup:
    r"""Return a value as JSON for the content of an HTML element ``script``: in ASCII, without ``<``, ``>`` and ``&``.

    Example:
        >>> print(in_script("</script>"))
        "\u003c/script\u003e"
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _policy(scripts: list[str], styles: list[str]) -> str:
    allowed = " ".join(map(_hashed, scripts))
    styled = " ".join([*map(_hashed, styles), *LIBRARY_STYLES])
    return (
        f"default-src 'none'; script-src {allowed}; style-src {styled}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("page.html.j2"))
