from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests import needs

from gatewright.agents.errors import UsageError
from gatewright.runtime.policies import networks
from gatewright.runtime.policies.networks import Architecture, Mlp


def layer(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.slow  # for importing torch; `python -m benchmarks.serving` compares logits, too
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_dense_layers_are_what_torch_computes(activation: Any) -> None:
    torch = needs.module("torch", "tune")
    sizes = (21, 64, 64, 4)
    layers = [torch.nn.Linear(given, wanted) for given, wanted in zip(sizes, sizes[1:], strict=False)]
    between = torch.nn.Tanh() if activation == "tanh" else torch.nn.ReLU()
    theirs = torch.nn.Sequential(layers[0], between, layers[1], between, layers[2])
    ours = Mlp(
        tuple(one.weight.detach().numpy().T.copy() for one in layers),
        tuple(one.bias.detach().numpy().copy() for one in layers),
        activation,
    )
    x = np.random.default_rng(0).normal(size=(500, 21)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    assert np.abs(ours.logits(x) - expected).max() < 1e-6
    assert np.abs(ours.logits(x[7]) - expected[7]).max() < 1e-6
    assert ours.logits(x.astype(np.float64)).dtype == np.float64


def test_logits_leave_their_input_alone() -> None:
    network = Mlp((layer(2, 3), layer(3, 2)), (layer(3), layer(2)))
    x = layer(4, 2)
    before = x.copy()
    network.logits(x)
    assert (x == before).all()


def test_a_linear_network_weighs_columns() -> None:
    network = networks.linear([[1.0, 0.0], [0.0, 2.0]], [0.5, 0.0])
    assert network.logits(np.array([3.0, 4.0], np.float32)).tolist() == [3.5, 8.0]


def test_a_table_looks_up_the_cell_that_columns_fall_into() -> None:
    network = networks.table([[0.0], [], [-1.0, 1.0]], {1: [1, 2], 5: [3, 4]}, [9, 9])
    x = np.array([[-1, 7, 0], [0, 7, 1], [0, 7, 0.5], [-1, 7, -9]], np.float32)
    assert network.cells_of(x).tolist() == [1, 5, 4, 0]
    assert network.logits(x).tolist() == [[1, 2], [3, 4], [9, 9], [9, 9]]
    assert network.logits(x[1]).tolist() == [3, 4]


def test_a_majority_always_prefers_the_most_frequent() -> None:
    network = networks.majority(2, [3, 0, 5])
    assert network.logits(layer(6, 2)).argmax(axis=1).tolist() == [2] * 6


@pytest.mark.parametrize("network", [networks.linear([[1.0]], [0.0]), networks.table([[0.0]], {0: [1.0]}, [2.0])])
def test_a_network_is_built_again_from_its_arrays(network: networks.Network) -> None:
    again = networks.build(network.architecture, network.arrays())
    x = np.array([[-1.0], [1.0]], np.float32)
    assert again.logits(x).tolist() == network.logits(x).tolist()


def test_too_many_cells_are_refused() -> None:
    with pytest.raises(UsageError, match=r"make 1\.2e\+21 cells.*cut fewer columns"):
        networks.table([list(range(9))] * 5 + [list(range(4))] * 23, {}, [0.0])


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"w0": layer(2, 3)}, "do not follow from one another"),
        ({"w0": layer(2, 3), "b0": layer(2)}, "do not follow from one another"),
        ({"w0": layer(2, 3), "b1": layer(3)}, "needs an array 'b0'"),
        ({"w0": layer(2, 3), "b0": layer(3), "w9": layer(1)}, "are not those of"),
        ({"w0": layer(2, 3).astype(np.float64), "b0": layer(3)}, "must be float32, and is float64"),
        ({"w0": layer(2, 3) * np.inf, "b0": layer(3)}, "not finite"),
    ],
)
def test_arrays_that_make_no_network_are_refused(arrays: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        networks.build(Architecture(kind="mlp", activation="tanh"), arrays)
