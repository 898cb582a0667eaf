"""The style of all figures: one palette, font and size, and figures that no window shows and no global state holds.

Colours are those of Okabe and Ito, which people with any colour vision can tell apart; methods also differ by their
markers. A figure is drawn and written in the style of this module alone: a ``matplotlibrc`` of the user has no effect,
and equal figures give equal files, since no file holds a date or a random identifier.

References:
    Okabe, Ito 2008, *Color Universal Design*, https://jfly.uni-koeln.de/color/
    Wong 2011, *Color blindness*, Nature Methods 8(6), doi:10.1038/nmeth.1618.
"""

from __future__ import annotations

import functools
import importlib
import io
import os
import textwrap
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ampbench.errors import UsageError
from ampbench.results import atomic
from ampbench.text import in_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

PALETTE = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#6B6B6B")
"""Colours of methods, parameters and curves, in the order of their use."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
"""Markers of methods; colour and marker together differ for 70 methods."""
INK, QUIET, FAINT, BAND = "#1a1a1a", "#5f6368", "#e3e3e3", "#d9d9d9"
"""Colours of text, of axes and remarks, of grids, and of bands."""
POSTERIOR, DATA, REFERENCE = PALETTE[0], "#D55E00", INK
"""Colours of what the posterior says, of data and true parameters, and of reference samples."""

FORMATS: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
"""By the suffix of a file, the entries of its metadata that are left out."""
PIXELS_PER_INCH = 150
MAX_LABEL = 60
"""Longest label, in characters; of a longer one the beginning and the end are shown."""
CHARACTERS_PER_INCH = 14
"""Characters of the font of a legend that fit into an inch."""
LINE = 0.19
"""Height of a line of a legend, in inches."""

_DOLLAR = "\ue000"
"""Stands for an escaped dollar; no text that is shown has this character."""

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.titlesize": 11,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "savefig.dpi": PIXELS_PER_INCH,
    "svg.hashsalt": "ampbench",
    "pdf.fonttype": 42,
}


def needed(module: str) -> Any:
    """Return a module that draws.

    Raises:
        UsageError: it is not installed; the message tells how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"a plot needs {module.partition('.')[0]}, which is not installed: pip install 'ampbench[plots]'"
        ) from error


def style() -> AbstractContextManager[None]:
    """Return a context in which matplotlib has the style of this module, and afterwards the one that it had."""
    context: AbstractContextManager[None] = needed("matplotlib.style").context(["default", _STYLE])
    return context


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that draws: it draws in the style of this module."""

    @functools.wraps(draw)
    def drawn(*arguments: P.args, **options: P.kwargs) -> T:
        with style():
            return draw(*arguments, **options)

    return drawn


def new_figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """Return an empty figure of a size in inches, which belongs to no window."""
    return needed("matplotlib.figure").Figure(figsize=(width, height), layout=layout)


@dataclass(frozen=True)
class Look:
    """How a method is drawn.

    Attributes:
        colour, marker: of its symbols and lines.
        dashed: whether lines are dashed and symbols hollow, which tells methods of one colour apart.
    """

    colour: str
    marker: str
    dashed: bool = False

    @property
    def line(self) -> dict[str, Any]:
        """The options of a line of matplotlib."""
        face = "white" if self.dashed else self.colour
        style = "--" if self.dashed else "-"
        return {"color": self.colour, "marker": self.marker, "linestyle": style, "markerfacecolor": face}


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a distinct look for each name, by its place in the sequence.

    Example:
        >>> looks(["npe", "nle"])["nle"]
        Look(colour='#009E73', marker='s', dashed=False)
    """
    known = dict.fromkeys(names)
    return {
        name: Look(PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)], i // len(PALETTE) % 2 == 1)
        for i, name in enumerate(known)
    }


def shown(text: str, limit: int = MAX_LABEL) -> str:
    r"""Return a text as a plot shows it: on one line, no mathematics, not too long, unknown glyphs as escapes.

    Example:
        >>> print(shown(r"_$\frac{1}$"), shown("x" * 99, 9), shown("中"))
         _\$\frac{1}\$ xxxx…xxxx \u4e2d
    """
    if len(text) > limit:
        text = f"{text[: limit // 2]}…{text[len(text) - (limit - 1 - limit // 2) :]}"
    known = _glyphs()
    text = "".join(c if ord(c) in known or not c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    escaped = in_plot(text)
    return f" {escaped}" if escaped.startswith("_") else escaped  # a legend leaves out labels that begin with "_"


@functools.cache
def _glyphs() -> frozenset[int]:
    """Return the code points of the font."""
    fonts = needed("matplotlib.font_manager")
    return frozenset(fonts.get_font(fonts.findfont("DejaVu Sans", fallback_to_default=True)).get_charmap())


def folded(text: str, width: float) -> str:
    """Return a text on as many lines as a width in inches needs."""
    whole = text.replace(r"\$", _DOLLAR)  # a dollar without its backslash would begin mathematics
    return "\n".join(textwrap.wrap(whole, max(20, int(width * CHARACTERS_PER_INCH)))).replace(_DOLLAR, r"\$")


def frame(
    figure: Figure,
    title: str,
    handles: Iterable[Any] = (),
    names: Iterable[str] = (),
    remarks: Iterable[str] = (),
    axis: str = "",
) -> Figure:
    """Put a title above the panels of a figure, a legend and remarks below them; the figure becomes higher by these.

    Arguments:
        figure: with a constrained layout.
        title: what is drawn.
        handles, names: of the legend, which has as many columns as fit; none for no legend.
        remarks: what is missing from the figure, or limits it.
        axis: label of the horizontal axes of all panels together.
    """
    width, panels = figure.get_size_inches()
    handles, names = list(handles), list(names)
    heading, told = folded(title, 0.8 * width), folded("; ".join(remarks), 1.1 * width)
    fit = width * CHARACTERS_PER_INCH / (max(map(len, names), default=0) + 7)
    columns = max(1, min(len(names), int(fit)))
    rows = -(-len(names) // columns)
    above = LINE * (heading.count("\n") + 1) * 1.2 + 0.12
    legend = LINE * rows + 0.1 if names else 0.0
    below = legend + (LINE * 0.8 * (told.count("\n") + 1) + 0.08 if told else 0.0)
    room = LINE if axis else 0.0
    height = panels + above + room + below
    figure.set_size_inches(width, height)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, (below + room) / height, 1, panels / height))
    figure.text(0.5, 1 - 0.06 / height, heading, ha="center", va="top", fontsize=11)
    if axis:
        figure.text(0.5, (below + 0.08) / height, axis, ha="center", va="bottom")
    if names:
        anchor = (0.5, below / height)
        figure.legend(handles, names, loc="upper center", bbox_to_anchor=anchor, ncols=columns, borderaxespad=0)
    if told:
        figure.text(0.5, 0.06 / height, told, ha="center", va="bottom", fontsize=8, color=QUIET)
    return figure


def add_legend_below(figure: Figure, handles: Iterable[Any], names: Iterable[str]) -> None:
    """Put a legend below a figure without a layout."""
    figure.legend(
        list(handles), list(names), loc="upper center", bbox_to_anchor=(0.5, -0.08 / figure.get_figheight()), ncols=3
    )


def check_path(path: Path) -> None:
    """Raise :class:`UsageError` if no figure can be written to a path; called before a figure is drawn."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"cannot write {path}: the suffix {path.suffix!r} is none of {', '.join(FORMATS)}; name the file plot.png, "
            "plot.svg or plot.pdf"
        )
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; name a file in it")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: the folder {path.parent} is read-only; take another one")


def image(figure: Figure, suffix: str = ".png") -> bytes:
    """Return a figure as the content of a file; equal figures give equal bytes.

    Arguments:
        figure: the figure; remarks below it are part of the image.
        suffix: ``.png``, ``.svg`` or ``.pdf``.
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(
            buffer,
            format=suffix.lower().removeprefix("."),
            metadata=FORMATS[suffix.lower()],
            bbox_inches="tight",
            pad_inches=0.12,
        )
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure; the suffix of the path selects png, svg or pdf, and an older file is replaced in one step.

    Raises:
        UsageError: the suffix is another one, or the path cannot be written; nothing is written then.
    """
    target = Path(path)
    check_path(target)
    try:
        atomic.write(target, image(figure, target.suffix))
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from error
