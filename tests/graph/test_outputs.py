"""Outputs of simulators, by kind: what can be understood is taken, and everything else is refused by name."""

from __future__ import annotations

import fractions
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

import ampbench
from ampbench.errors import SimulationError
from ampbench.graph import Graph, Simulator, density, one_at_a_time, probe_simulators, simulator
from ampbench.graph.outputs import Layout, read_output

N = 5
X = torch.arange(N * 6, dtype=torch.float64).reshape(N, 6) + 0.5
A = X.numpy()
Parts = namedtuple("Parts", ["first", "rest"])
NESTED = torch.arange(N * 6.0).reshape(N, 2, 3)


def objects(rows: list[Any]) -> np.ndarray[Any, Any]:
    made = np.empty(len(rows), dtype=object)
    made[:] = rows
    return made


READ: dict[str, tuple[Any, Layout]] = {
    "tensor": (X, Layout((6,))),
    "float16": ((X / 2).half() * 2, Layout((6,))),
    "with a gradient": (X.clone().requires_grad_(), Layout((6,))),
    "sparse tensor": (X.to_sparse(), Layout((6,))),
    "array": (A, Layout((6,))),
    "read-only array": (np.broadcast_to(A, A.shape), Layout((6,))),
    "reversed array": (np.ascontiguousarray(A[:, ::-1])[:, ::-1], Layout((6,))),
    "big-endian array": (A.astype(">f8"), Layout((6,))),
    "long double": (A.astype(np.longdouble), Layout((6,))),
    "matrix": (np.asmatrix(A), Layout((6,))),
    "masked array without a mask": (np.ma.masked_array(A), Layout((6,))),
    "scipy sparse": (scipy.sparse.csr_array(A), Layout((6,))),
    "list of lists": (A.tolist(), Layout((6,))),
    "list of arrays": (list(A), Layout((6,))),
    "list of tensors": (list(X), Layout((6,))),
    "list of lists of tensors": ([list(row) for row in X], Layout((6,))),
    "list of series": ([pd.Series(row) for row in A], Layout((6,))),
    "list of tuples": ([tuple(row) for row in A.tolist()], Layout((6,))),
    "list of dictionaries": ([{"a": row[0], "b": row[1:]} for row in A], Layout((6,))),
    "list of fractions": ([[fractions.Fraction(value) for value in row] for row in A.tolist()], Layout((6,))),
    "tuple of rows": (tuple(A.tolist()), Layout((6,))),
    "objects": (A.astype(object), Layout((6,))),
    "objects of arrays": (objects(list(A)), Layout((6,))),
    "images": (X.reshape(N, 2, 3), Layout((2, 3))),
    "array of series": (A.reshape(N, 3, 2), Layout((3, 2))),
    "nested lists": (A.reshape(N, 3, 2).tolist(), Layout((3, 2))),
    "list of images": ([row.reshape(2, 3) for row in A], Layout((2, 3))),
    "dictionary": ({"a": A[:, 0], "b": X[:, 1:]}, Layout((6,), ("a", "b"))),
    "dictionary with an image": ({"a": A[:, :2], "b": A[:, 2:].reshape(N, 2, 2)}, Layout((6,), ("a", "b"))),
    "named tuple": (Parts(A[:, 0], A[:, 1:]), Layout((6,), ("first", "rest"))),
    "tuple of parts": ((X[:, 0], A[:, 1:]), Layout((6,))),
    "frame": (pd.DataFrame(A, columns=list("fedcba")), Layout((6,), tuple("fedcba"))),
    "frame with one name twice": (pd.DataFrame(A, columns=list("aaabbb")), Layout((6,), tuple("aaabbb"))),
    "frame of nullable numbers": (pd.DataFrame(A).astype("Float64"), Layout((6,), tuple("012345"))),
    "structured array": (
        np.array([tuple(row) for row in A], dtype=[(name, float) for name in "uvwxyz"]),
        Layout((6,), tuple("uvwxyz")),
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_what_can_be_understood_is_taken(kind: str) -> None:
    value, layout = READ[kind]
    rows, found = read_output("node 'x'", value, N)
    assert torch.equal(rows.detach().double(), X)
    assert found == layout


def test_xarray_is_taken() -> None:
    xarray = pytest.importorskip("xarray")
    rows, layout = read_output("node 'x'", xarray.DataArray(A, dims=("row", "time")), N)
    assert torch.equal(rows, X)
    assert layout == Layout((6,))
    parts = xarray.Dataset({"b": ("row", A[:, 0]), "a": (("row", "time"), A[:, 1:])})
    rows, layout = read_output("node 'x'", parts, N)
    assert torch.equal(rows, X)
    assert layout == Layout((6,), ("b", "a"))


def test_a_tuple_of_n_parts_of_different_shapes_is_no_tuple_of_rows() -> None:
    rows, _ = read_output("node 'x'", (torch.ones(2), torch.zeros(2, 3)), 2)
    assert rows.tolist() == [[1.0, 0.0, 0.0, 0.0]] * 2


ONE = torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0])
COLUMNS: dict[str, tuple[Any, list[float]]] = {
    "vector": (ONE, ONE.tolist()),
    "list": (ONE.tolist(), ONE.tolist()),
    "tuple": (tuple(ONE.tolist()), ONE.tolist()),
    "series": (pd.Series(ONE.numpy()), ONE.tolist()),
    "nullable series": (pd.Series([1, 2, 3, 4, 5], dtype="Int64"), [1, 2, 3, 4, 5]),
    "list of scalar tensors": (list(ONE), ONE.tolist()),
    "booleans": ([True, False, True, True, False], [1, 0, 1, 1, 0]),
    "integers": (np.arange(5, dtype=np.uint32), [0, 1, 2, 3, 4]),
    "integers beyond 64 bits": ([2**70, 0, 0, 0, 0], [2.0**70, 0, 0, 0, 0]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_n_numbers_are_one_component(kind: str) -> None:
    value, numbers = COLUMNS[kind]
    rows, layout = read_output("node 'x'", value, N)
    assert rows.tolist() == [[number] for number in numbers]
    assert layout == Layout((1,))


MISSING = {
    "masked array": np.ma.masked_array(A[:, :2], mask=A[:, :2] == 6.5),
    "rows of masked arrays": [np.ma.masked_array(row[:2], mask=row[:2] == 6.5) for row in A],
    "masked numbers": [[0.5, 1.5], [np.ma.masked, 7.5], *A[2:, :2].tolist()],
    "nullable frame": pd.DataFrame({"a": pd.array([0.5, None, 12.5, 18.5, 24.5], dtype="Float64"), "b": A[:, 1]}),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_entries_are_nan(kind: str) -> None:
    rows, _ = read_output("node 'x'", MISSING[kind], N)
    assert rows.isnan().nonzero().tolist() == [[1, 0]]
    assert torch.equal(rows[2:].double(), X[2:, :2])


REFUSED: dict[str, tuple[Any, str]] = {
    "none": (
        None,
        r"returned None, not a tensor or array, expected an array of shape \(5, D\); end the simulator with a return",
    ),
    "text": ("text", "returned str, not a tensor or array"),
    "texts": (np.array(["a"] * N), "returned texts, not numbers"),
    "a text among numbers": ([1.0, 2.0, "3", 4.0, 5.0], "returned texts, not numbers"),
    "a missing row": ([1.0, None, 3.0, 4.0, 5.0], "in row 1 returned None"),
    "generator": ((row for row in A), r"returned generator.*return list\(…\) of it"),
    "set": ({1.0, 2.0, 3.0, 4.0, 5.0}, "returned set, not a tensor or array"),
    "function": (len, "returned builtin_function_or_method"),
    "scalar": (1.5, r"has shape \(\), expected \(5, D\); return a row for each of the 5 rows.*one_at_a_time"),
    "scalar tensor": (torch.tensor(1.0), r"has shape \(\), expected \(5, D\)"),
    "one row": (A[:1], r"has shape \(1, 6\), expected \(5, D\).*one_at_a_time"),
    "one row of n": (A[:, 0][None], r"has shape \(1, 5\), expected \(5, D\); drop the first axis"),
    "transposed": (A.T, r"has shape \(6, 5\), expected \(5, D\).*transpose the output"),
    "a draw alone": (A[0], r"has shape \(6,\), expected \(5, D\)"),
    "list of parts": ([A[:, 0], A[:, 1]], r"has shape \(2, 5\), expected \(5, D\).*or return a dict"),
    "no component": (A[:, :0], r"has shape \(5, 0\), expected \(5, D\); return at least one component"),
    "ragged": ([[1.0], [1.0, 2.0], [1.0], [1.0], [1.0]], r"row 0 has \(1,\), row 1 has \(2,\).*padding"),
    "ragged objects": (objects([np.zeros(1 + i) for i in range(N)]), r"row 0 has \(1,\), row 1 has \(2,\)"),
    "nested tensor": (
        torch.nested.nested_tensor([torch.ones(i + 1) for i in range(N)], layout=torch.jagged),
        "nested tensor.*pad",
    ),
    "empty list": ([], "returned an empty list"),
    "empty dictionary": ({}, "returned no part"),
    "complex tensor": (X.to(torch.complex64), r"complex numbers.*x\.real"),
    "complex array": (A + 1j, r"complex numbers.*x\.real"),
    "list of complex": ([1j] * N, "complex numbers"),
    "dates": (np.full(N, np.datetime64("2020-01-01")), "returned dates or durations .*np.timedelta64"),
    "frame of dates": (pd.DataFrame({"when": pd.to_datetime(["2020-01-01"] * N)}), "in part 'when' returned dates"),
    "frame of texts": (pd.DataFrame({"name": ["a"] * N}), "in part 'name' .*returned (texts|str)"),
    "frame of one row": (pd.DataFrame(A[:1]), r"part 0 of shape \(1,\) instead of \(5, …\)"),
    "part of another length": ({"a": A, "b": A[:2]}, r"part 'b' of shape \(2, 6\) instead of \(5, …\)"),
    "part without rows": ({"a": A, "b": 1.0}, r"part 'b' of shape \(\) instead of \(5, …\)"),
    "n arrays of n": (tuple(torch.ones(N) for _ in range(N)), "may be 5 rows or 5 parts.*list of rows, or a dict"),
    "records with other keys": ([{"a": 1.0}, {"b": 1.0}, *[{"a": 1.0}] * 3], r"the keys \['a'\] and \['b'\]"),
    "without values": (torch.ones(N, 2, device="meta"), "on the device 'meta'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_the_rest_is_refused_with_the_way_out(kind: str) -> None:
    value, fault = REFUSED[kind]
    with pytest.raises(SimulationError, match=f"^node 'x' .*{fault}") as caught:
        read_output("node 'x'", value, N)
    assert "expected" in str(caught.value)


def test_the_declared_size_decides() -> None:
    with pytest.raises(SimulationError, match=r"has shape \(5, 2, 3\), expected \(5, 4\); return 4 components per row"):
        read_output("node 'x'", NESTED, N, size=4)
    with pytest.raises(SimulationError, match=r"has shape \(5,\), expected \(5, 5\)"):
        read_output("node 'x'", ONE, N, size=5)


def model(simulate: Callable[..., Any]) -> Graph:
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    return Graph(density("theta", prior), simulator("x", simulate, ["theta"]))


def image(theta: Tensor) -> Tensor:
    """Images (n, 2, 3)."""
    return theta[:, :, None] + torch.randn(len(theta), 2, 3)


def test_a_simulator_flattens_row_by_row_and_knows_the_shapes() -> None:
    source = Simulator(model(image), ["x"], 40, seed=0)
    assert source.shapes == {}
    first = source.sample(20)
    assert first["x"].shape == (20, 6)
    assert source.shapes == {"theta": (2,), "x": (2, 3)}
    flat = Simulator(model(lambda theta: image(theta).flatten(1)), ["x"], 40, seed=0)
    assert torch.equal(flat.sample(20)["x"], first["x"])
    assert flat.shapes["x"] == (6,)


def test_layouts_must_not_change_between_calls() -> None:
    calls: list[int] = []

    def simulate(theta: Tensor) -> Any:
        calls.append(len(theta))
        names = ("a", "b") if len(calls) == 1 else ("b", "a")
        return {name: theta[:, :1] + i for i, name in enumerate(names)}

    source = Simulator(model(simulate), ["x"], 40, seed=0)
    source.sample(20)
    with pytest.raises(SimulationError, match=r"parts b, a, but of shape .* with the parts a, b in an earlier call"):
        source.sample(20)


def test_numbers_do_not_depend_on_the_kind() -> None:
    def simulate(theta: Tensor) -> Tensor:
        return theta + torch.randn_like(theta)

    kinds: dict[str, Callable[[Tensor], Any]] = {
        "tensor": simulate,
        "list": lambda theta: simulate(theta).tolist(),
        "frame": lambda theta: pd.DataFrame(simulate(theta).numpy()),
        "dictionary": lambda theta: dict(zip("ab", simulate(theta).T, strict=True)),
        "wrapped": one_at_a_time(lambda theta: {"a": theta[0], "b": theta[1]}),
    }
    drawn = {kind: Simulator(model(each), ["x"], 50, seed=0).sample(50) for kind, each in kinds.items()}
    assert all(torch.equal(each["x"], drawn["tensor"]["x"]) for kind, each in drawn.items() if kind != "wrapped")
    assert torch.equal(drawn["wrapped"]["x"], drawn["wrapped"]["theta"])


def test_a_list_in_double_precision_keeps_its_digits() -> None:
    def simulate(theta: Tensor) -> list[list[float]]:
        return [[1.2e9 + 0.1 * float(row[0])] for row in theta]

    values = Simulator(model(simulate), ["x"], 50, seed=0).sample(50)
    assert values["x"].dtype == torch.float64
    assert torch.allclose(values["x"][:, 0] - 1.2e9, 0.1 * values["theta"][:, 0].double(), atol=1e-5)


def test_a_simulator_of_a_single_theta_keeps_its_shape() -> None:
    single = one_at_a_time(lambda theta: theta.outer(theta))
    assert single(torch.ones(4, 2)).shape == (4, 2, 2)
    source = Simulator(model(single), ["x"], 10, seed=0)
    source.sample(10)
    assert source.shapes["x"] == (2, 2)


@pytest.mark.parametrize(
    "single", [lambda theta: {"a": float(theta[0])}, lambda theta: (float(theta[0]), float(theta[1]))]
)
def test_the_probe_names_a_simulator_of_a_single_theta(single: Callable[[Tensor], Any]) -> None:
    with pytest.raises(SimulationError, match=r"works for a single theta of shape \(2,\).*one_at_a_time\(simulate\)"):
        probe_simulators(model(single), 0, 100)
    probe_simulators(model(one_at_a_time(single)), 0, 100)


@pytest.mark.parametrize("simulate", [lambda theta: theta.mT, lambda theta: [theta[..., 0], theta[..., 1]]])
def test_the_probe_takes_no_transposed_output_for_one_of_a_single_theta(simulate: Callable[[Tensor], Any]) -> None:
    with pytest.raises(SimulationError, match=r"has shape \(2, 100\), expected \(100, D\).*transpose"):
        ampbench.infer_graph(model(simulate), ["x"], budget=100, method="rejection-abc:accept=20")


def test_infer_takes_images() -> None:
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    posterior = ampbench.infer(prior, image, budget=200, method="rejection-abc:accept=20")
    assert posterior.sample(torch.zeros(6), 5).shape == (5, 2)
