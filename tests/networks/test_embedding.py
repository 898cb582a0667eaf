"""Embeddings: permutations of trials, values at gaps and absent trials leave the features exactly as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.interfaces.family import Part
from ampbench.networks import Arrangement
from ampbench.networks.embedding import Kind
from ampbench.networks.sets import SetEmbedding

COMPONENTS = 72  # 36 × 2: a series of 36 with two channels, two images of 6 × 6, 36 trials with two entries


def masked(kind: Kind) -> nn.Module:
    return Arrangement(kind, features=5, channels=2, width=16).embedding([Part(2 * COMPONENTS, masked=True)])


def evidence(rows: int = 20) -> tuple[Tensor, Tensor]:
    """Values with 0 at gaps, and their mask."""
    mask = (torch.rand(rows, COMPONENTS) < 0.7).float()
    return torch.randn(rows, COMPONENTS) * mask, mask


def trials_of(x: Tensor) -> Tensor:
    return x.reshape(len(x), -1, 2)


@pytest.mark.parametrize("kind", ["series", "image", "set"])
class TestWithMask:
    def test_shapes_and_gradients(self, kind: Kind) -> None:
        network = masked(kind)
        features = network(torch.cat(evidence(), 1).reshape(4, 5, -1))
        assert features.shape == (4, 5, 5)
        gradients = torch.autograd.grad(features.square().mean(), list(network.parameters()))
        assert all(bool(gradient.any()) and bool(gradient.isfinite().all()) for gradient in gradients)

    def test_the_value_at_a_gap_does_not_matter(self, kind: Kind) -> None:
        network, (values, mask) = masked(kind), evidence()
        other = torch.where(mask > 0, values, 1e6)
        assert torch.equal(network(torch.cat([values, mask], 1)), network(torch.cat([other, mask], 1)))

    def test_the_mask_matters_and_values_do(self, kind: Kind) -> None:
        network, (values, mask) = masked(kind), evidence()
        first = network(torch.cat([values, mask], 1))
        assert not torch.allclose(first, network(torch.cat([values, torch.ones_like(mask)], 1)), atol=1e-4)
        assert not torch.allclose(first, network(torch.cat([values + mask, mask], 1)), atol=1e-4)

    def test_evidence_without_any_value_has_finite_features(self, kind: Kind) -> None:
        assert bool(masked(kind)(torch.zeros(3, 2 * COMPONENTS)).isfinite().all())

    def test_other_parts_of_a_context_pass_through(self, kind: Kind) -> None:
        arrangement, parts = Arrangement(kind, 5, 2, 16), [Part(3, False), Part(2 * COMPONENTS, True)]
        latent, x = torch.randn(20, 3), torch.cat(evidence(), 1)
        joined = arrangement.embedding(parts)(torch.cat([latent, x], 1))
        assert joined.shape == (20, arrangement.outputs(parts)) == (20, 8)
        assert torch.equal(joined[:, :3], latent)


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("entries", [1, 2])
def test_a_permutation_of_the_trials_changes_no_bit(with_mask: bool, entries: int) -> None:
    network = SetEmbedding(COMPONENTS, 5, entries, width=16, masked=with_mask)
    values, mask = evidence()
    order = torch.randperm(COMPONENTS // entries)
    first, second = (
        torch.cat([each.reshape(20, -1, entries)[:, places].flatten(1) for each in (values, mask)], 1)
        for places in (torch.arange(len(order)), order)
    )
    size = 2 * COMPONENTS if with_mask else COMPONENTS
    assert torch.equal(network(first[:, :size]), network(second[:, :size]))


def test_entries_of_one_trial_are_not_exchangeable() -> None:
    x = torch.randn(20, COMPONENTS)
    assert not torch.allclose(
        SetEmbedding(COMPONENTS, 5, 2)(x), SetEmbedding(COMPONENTS, 5, 2)(trials_of(x).flip(-1).flatten(1)), atol=1e-4
    )


def test_absent_trials_leave_the_embedding_as_it_is_and_their_number_does_not() -> None:
    """Trials with all entries missing: as if the set were smaller. Twice the trials: another number."""
    large, small = (SetEmbedding(size, 5, entries=2, width=16, masked=True) for size in (12, 6))
    small.load_state_dict(large.state_dict())
    x = torch.randn(7, 6)
    padded = torch.cat([x, torch.zeros(7, 6), torch.ones(7, 6), torch.zeros(7, 6)], 1)
    assert torch.allclose(large(padded), small(torch.cat([x, torch.ones(7, 6)], 1)), atol=1e-6)
    doubled = torch.cat([x, x, torch.ones(7, 12)], 1)
    assert not torch.allclose(large(padded), large(doubled), atol=1e-3)


def test_a_shorter_series_is_the_same_whatever_follows_it() -> None:
    """Features of pieces without values do not depend on values elsewhere."""
    network = Arrangement("series", features=5, channels=1, width=16).embedding([Part(160, masked=True)])
    mask = (torch.arange(80) < 30).float().expand(4, -1)
    first, second = torch.randn(2, 4, 80)
    second = torch.where(mask > 0, first, second)
    assert torch.equal(network(torch.cat([first, mask], 1)), network(torch.cat([second, mask], 1)))


@pytest.mark.parametrize(
    ("kind", "components", "message"),
    [
        ("set", 71, "71 components is no set of trials with 2 entries each; change channels"),
        ("series", 71, "71 components is no series with 2 channels; change channels"),
        ("image", 70, "35 is no square number"),
    ],
)
@pytest.mark.parametrize("with_mask", [False, True])
def test_evidence_of_another_shape(kind: Kind, components: int, message: str, with_mask: bool) -> None:
    part = Part(2 * components if with_mask else components, with_mask)
    with pytest.raises(UsageError, match=message):
        Arrangement(kind, features=5, channels=2, width=16).embedding([part])
