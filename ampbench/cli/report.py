"""``ampbench report``: a page, Markdown or PDF from stored results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ampbench.cli.terminal import remark
from ampbench.console import complain, document, say
from ampbench.errors import UsageError, unknown
from ampbench.report import Content, gather, page
from ampbench.report.markdown import markdown
from ampbench.report.pdf import find_browser, pdf
from ampbench.report.watch import RELOAD, watch
from ampbench.results import atomic

SUFFIXES = {".html": "html", ".htm": "html", ".md": "markdown", ".markdown": "markdown", ".pdf": "pdf"}
WRITERS: Mapping[str, Callable[[Content, int], bytes]] = {
    "html": lambda content, reload: page(content, reload).encode(),
    "markdown": lambda content, _: markdown(content).encode(),
    "pdf": lambda content, _: pdf(page(content)),
}


def write_report(results: Sequence[Path], output: Path, form: str | None, watched: bool, as_json: bool = False) -> None:
    """Write a report, once or whenever results arrive.

    Arguments:
        results: results directories, bundles, or exported files.
        output: the file to write; replaced atomically.
        form: html, markdown or pdf; None takes it from the suffix of the file.
        watched: whether to write the report again when there are new results, until the command is interrupted.
        as_json: whether to print a JSON document about the file; not of one that is watched.

    Raises:
        UsageError: the form is unknown, the folder of the file does not exist, or the form needs a browser that is
            not installed.
        ResultsError: a directory or file is missing or invalid.
    """
    form = _form(output, form)
    if watched and as_json:
        raise UsageError("--json prints one document, and --watch writes the report again and again; give one of them")
    if output.is_dir():
        raise UsageError(f"cannot write {output}: it is a folder; give a file, such as {output / 'report.html'}")
    if not output.parent.is_dir():
        raise UsageError(f"cannot write {output}: the folder {output.parent} does not exist; make it first")
    if form == "pdf":
        find_browser()
    if not watched:
        _write(results, output, form, 0, as_json)
        return
    remark(f"watching {', '.join(map(str, results))}; Ctrl-C ends it")
    try:
        watch(results, lambda: _write(results, output, form, RELOAD))
    finally:
        if form == "html":  # an open page need not load itself any more
            _write(results, output, form, 0)


def _form(output: Path, form: str | None) -> str:
    if form is None:
        if output.suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"the suffix of {output} names no format; give --format {', '.join(WRITERS)}, or a suffix of "
                f"{', '.join(SUFFIXES)}"
            )
        return SUFFIXES[output.suffix.lower()]
    if form not in WRITERS:
        raise unknown("format", form, WRITERS)
    return form


def _write(results: Sequence[Path], output: Path, form: str, reload: int, as_json: bool = False) -> None:
    content = gather(results)
    written = WRITERS[form](content, reload)
    atomic.write(output, written)
    frame = content.frame
    if frame.empty:
        complain("there are no results yet; run 'ampbench run' first")
    counts = {"runs": len(frame), "methods": len(content.methods), "tasks": len(content.tasks)}
    if as_json:
        document({"output": str(output), "bytes": len(written), **counts})
        return
    size = f"{len(written) / 1e6:.1f} MB" if len(written) > 100_000 else f"{len(written) / 1e3:.0f} kB"
    say(f"{output}: {len(frame):,} runs of {len(content.methods)} methods on {len(content.tasks)} tasks; {size}")
