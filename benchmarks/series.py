"""The series of all benchmarks as one page that loads nothing from elsewhere, unlike the pages of ``asv publish``.

    python benchmarks/series.py                # benchmarks/results as .asv/series.html
    python benchmarks/series.py --factor 1.5   # mark larger changes only

Rows are benchmarks with their parameters, columns commits in the order of their dates, one table per machine and
environment. A change by more than the factor, from one commit to the next that has a value, is marked: all numbers are
times, memory or errors, so that a rise is worse.

asv imports every module of this folder in environments that lack asv, so that asv is imported inside functions here.
"""

from __future__ import annotations

import argparse
import math
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment

if TYPE_CHECKING:
    from asv.results import Results

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / ".asv" / "series.html"
FACTOR = 1.2
WIDTH, HEIGHT = 90, 18
"""Of a curve, in pixels."""

TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Benchmarks of ampbench</title>
<style>
body { font: 14px/1.4 sans-serif; margin: 1.5em; color: #222 }
table { border-collapse: collapse; margin-bottom: 1.5em }
th, td { padding: 2px 10px; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child, .text { text-align: left }
th { font-weight: normal; color: #555; vertical-align: bottom } td.worse { background: #f6c6bd }
td.better { background: #c9e4cc } code { font-size: 13px } polyline { fill: none; stroke: #36c; stroke-width: 1.5 }
circle { fill: #36c } h3 { margin-bottom: .2em }
</style>
<h1>Benchmarks of ampbench</h1>
<p>All numbers are times, memory or errors: a rise is worse. Red and green: a change by more than a factor of
{{ factor }} since the commit before. Curves begin at zero.</p>
{% for series in all %}<h2>{{ series.where }}</h2>
<table><tr><th>commit</th><th>date</th><th class="text">subject</th></tr>{% for commit in series.commits %}
<tr><td><code>{{ commit.short }}</code></td><td>{{ commit.date }}</td><td class="text">{{ commit.subject }}</td></tr>
{% endfor %}</table>
{% for name, rows in series.tables %}<h3><code>{{ name }}</code></h3>
<table><tr><th>{{ rows[0].names }}</th>{% for commit in series.commits %}<th><code>{{ commit.short }}</code></th>
{% endfor %}<th></th></tr>{% for row in rows %}
<tr><td>{{ row.cell }}</td>{% for text, verdict in row.shown(factor) %}<td class="{{ verdict }}">{{ text }}</td>
{% endfor %}<td><svg width="{{ width }}" height="{{ height }}"><polyline points="{{ row.curve() }}"/>
{% for x, y in row.points() %}<circle cx="{{ x }}" cy="{{ y }}" r="2"/>{% endfor %}</svg></td></tr>{% endfor %}
</table>{% endfor %}{% endfor %}</html>
"""


@dataclass(frozen=True)
class Commit:
    """A column: short hash, day, and first line of the message, "" where git does not know the commit."""

    short: str
    date: str
    subject: str


@dataclass(frozen=True)
class Row:
    """A benchmark at one combination of its parameters; a value is NaN where a commit has none."""

    name: str
    names: str
    cell: str
    unit: str
    values: Sequence[float]

    def shown(self, factor: float) -> Iterator[tuple[str, str]]:
        """Yield each value as text, and ``worse`` or ``better`` where it differs from the last one by the factor."""
        from asv.util import human_value

        last = math.nan
        for value in self.values:
            if math.isnan(value):
                yield "", ""
                continue
            text = human_value(value, self.unit) if self.unit in ("seconds", "bytes") else f"{value:.4g} {self.unit}"
            yield text, "worse" if value > factor * last else "better" if value * factor < last else ""
            last = value

    def points(self) -> list[tuple[float, float]]:
        """Return the places of the values in the curve."""
        top = max((value for value in self.values if not math.isnan(value)), default=0.0) or 1.0
        step = (WIDTH - 8) / max(1, len(self.values) - 1)
        return [
            (round(4 + i * step, 1), round(HEIGHT - 3 - (HEIGHT - 6) * max(0.0, value) / top, 1))
            for i, value in enumerate(self.values)
            if not math.isnan(value)
        ]

    def curve(self) -> str:
        return " ".join(f"{x},{y}" for x, y in self.points())


@dataclass(frozen=True)
class Series:
    """All results of one machine and environment."""

    where: str
    commits: Sequence[Commit]
    tables: Sequence[tuple[str, Sequence[Row]]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--output", type=Path, default=PAGE)
    parser.add_argument("--factor", type=float, default=FACTOR)
    chosen = parser.parse_args(arguments)
    if not (chosen.results / "benchmarks.json").is_file():
        parser.error(f"{chosen.results} has no benchmarks.json; run 'asv run' first")
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(page(read(chosen.results), chosen.factor), encoding="utf-8")
    print(chosen.output)


def page(all_series: Iterable[Series], factor: float) -> str:
    """Return the page as HTML."""
    template = Environment(autoescape=True).from_string(TEMPLATE)
    return template.render(all=list(all_series), factor=factor, width=WIDTH, height=HEIGHT)


def read(folder: Path) -> list[Series]:
    """Return the series of every machine and environment of which asv has results."""
    from asv.results import iter_results
    from asv.util import load_json

    benchmarks = {name: each for name, each in load_json(str(folder / "benchmarks.json")).items() if name != "version"}
    found = sorted(iter_results(str(folder)), key=lambda each: (*_where(each), each.date))
    return [_series(" / ".join(where), list(each), benchmarks) for where, each in groupby(found, key=_where)]


def _where(result: Results) -> tuple[str, str]:
    return result.params["machine"], result.env_name


def _series(where: str, results: Sequence[Results], benchmarks: Mapping[str, Mapping[str, Any]]) -> Series:
    commits = [_commit(each.commit_hash, each.date) for each in results]
    tables = [(name, list(_rows(benchmarks[name], results))) for name in sorted(benchmarks)]
    measured = [(name, [row for row in rows if not all(map(math.isnan, row.values))]) for name, rows in tables]
    return Series(where, commits, [(name, rows) for name, rows in measured if rows])


def _rows(benchmark: Mapping[str, Any], results: Sequence[Results]) -> Iterator[Row]:
    columns = [_values(benchmark, result) for result in results]
    for i, cell in enumerate(product(*benchmark["params"])):
        values = [math.nan if column is None or column[i] is None else column[i] for column in columns]
        names, texts = ", ".join(benchmark["param_names"]), ", ".join(each.strip("'") for each in cell)
        yield Row(benchmark["name"], names, texts, benchmark["unit"], values)


def _values(benchmark: Mapping[str, Any], result: Results) -> list[float | None] | None:
    """Return the value of each combination of parameters; None if this version of the benchmark was not run."""
    name = benchmark["name"]
    if name not in result.get_result_keys({name: benchmark}):
        return None
    values: list[float | None] | None = result.get_result_value(name, benchmark["params"])
    return values


def _commit(full: str, milliseconds: int) -> Commit:
    asked = ["git", "-C", str(ROOT), "log", "-1", "--format=%s", full]
    subject = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return Commit(full[:8], datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d"), subject)


if __name__ == "__main__":
    main()
