"""Events are encoded as JSON and decoded without a change."""

from __future__ import annotations

import json

import pytest

from ampbench.interfaces.events import Event, Finished, Fitting, Measuring, Note, Sampling
from ampbench.results import Record, Run
from ampbench.results.record import Measured
from ampbench_dask.notices import decode, encode

RUN = Run("two_moons", "1", "amp", "amp:steps=9", 100, 3, 0, 50, ("mmd", "c2st:folds=2"), ("torch==2.13.*",))
METRICS = {"mmd": Measured(0.25, "", {"n": 50, "standard_error": 0.125, "version": "1"}), "c2st": Measured(None, "NaN")}
RECORD = Record(RUN, "failed", "über [bold]", "Traceback\n", METRICS, 1.5, 0.5, 100, "cpu", "2026", {"torch": "2"}, "")


@pytest.mark.parametrize(
    "event",
    [Fitting(RUN), Fitting(RUN, 3, 9), Sampling(RUN), Measuring(RUN, "mmd"), Finished(RECORD), Note('a "note"')],
)
def test_round_trip(event: Event) -> None:
    decoded = decode(encode(event))
    assert decoded == event
    assert type(decoded) is type(event)
    if isinstance(decoded, Finished):
        assert decoded.record.run.key == RUN.key
        assert {type(value) for value in decoded.record.metrics["mmd"].provenance.values()} == {int, float, str}


@pytest.mark.parametrize(
    "content", [[], {}, {"event": []}, {"event": "Exit"}, {"event": "Note"}, {"event": "Fitting", "run": {"task": "t"}}]
)
def test_json_without_an_event(content: object) -> None:
    with pytest.raises(ValueError, match=r"no event|validation error|Missing|required"):
        decode(json.dumps(content))


def test_text_that_is_not_json() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        decode("cos\nsystem\n(S'echo'\ntR.")
