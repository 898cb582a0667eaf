from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampbench.cli.terminal import print_table
from ampbench.reporting.text import decimals, duration, number
from ampbench.text import line, plain


@given(st.text())
def test_what_is_printed_moves_no_cursor(text: str) -> None:
    assert all(each.isprintable() or each in "\n\t" for each in plain(text))
    assert line(text).isprintable()


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"])))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == line(text) == text


def test_tables_show_markup_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table(["name", "n", "x"], [["[bold]a[/bold]\x1b[2J\n", 3, float("nan")], ["b" * 60, 10, 0.5]], fold=0)
    shown = capsys.readouterr().out
    assert "[bold]a[/bold]\\x1b[2J" in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 40
    assert shown.count("b") == 60 + 3, "folded, not cut (the other three are in the first row)"


@pytest.mark.parametrize("width", [30, 40, 80, 200])
@pytest.mark.parametrize("fold", [-1, 0, 12])
def test_no_number_loses_its_end(
    width: int, fold: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that do not fit follow below, under the first column again, in their order."""
    monkeypatch.setenv("COLUMNS", str(width))
    headings = ["row", *(f"metric{i}" for i in range(11)), "findings"]
    rows = [[f"r{n}", *(54.314 + 10.0**i + n for i in range(11)), "too wide 1.5"] for n in range(3)]
    print_table(headings, rows, fold)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    words = shown.split()
    assert [word for word in words if word.startswith("metric")] == headings[1:-1]
    for _, *values, _ in rows:
        assert {number(value, 3) for value in values} <= {*words}
    assert words.count("row") == words.count("r0") == words.count("r2")
    assert (words.count("row") == 1) == (width == 200)


def test_decimals_show_three_digits_of_the_largest() -> None:
    given = ([], [float("nan")], [0.0], [0.5, float("nan")], [0.0123], [-1e-9], [1e9], [float("inf")])
    assert [decimals(values) for values in given] == [3, 3, 3, 3, 4, 6, 3, 3]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.6, "1 min 0 s"),
        (61, "1 min 1 s"),
        (7199, "1 h 59 min"),
        (86400, "1 d 0 h"),
        (10**7, "115 d 17 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
