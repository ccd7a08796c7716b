"""Nets in PyTorch, NumPy and ONNX are the same nets."""

from __future__ import annotations

from typing import Any

import pytest

from aggregators import forward, layers, onnx_net
from tests.kit.cards import card
from tests.kit.some_nets import SHAPES, resolved, samples_of

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")


def built(name: str, seed: int = 0) -> tuple[Any, Any, Any]:
    """The net, its first weights moved a bit so that norms and biases count, and the net in torch."""
    from tasks.train import torch_nets

    net = resolved(name)
    weights = net.init(seed) + 0.05 * np.random.default_rng(seed).standard_normal(net.size).astype(np.float32)
    module = torch_nets.build(net)
    torch_nets.load_flat(module, weights)
    return net, weights, module.eval()


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_parameters_are_those_of_the_description_in_order(name: str) -> None:
    net, weights, module = built(name)
    found = list(module.parameters())
    assert [tuple(each.shape) for each in found] == [each.shape for each in net.parameters]
    for each, array in zip(found, net.named(weights).values(), strict=True):
        assert np.array_equal(each.detach().numpy(), array)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_numpy_says_of_samples_what_torch_says(name: str) -> None:
    net, weights, module = built(name)
    samples = samples_of(name, 33)
    with torch.no_grad():
        wanted = module(torch.from_numpy(samples)).numpy()
    assert wanted.std() > 0.01
    assert np.abs(forward.logits(net, weights, samples) - wanted).max() <= 1e-5


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_each_weight_has_an_effect_on_the_loss(name: str) -> None:
    _, _, module = built(name)
    module(torch.from_numpy(samples_of(name, 64))).square().sum().backward()
    for number, each in enumerate(module.parameters()):
        assert each.grad is not None, number
        assert float(each.grad.abs().max()) > 0, number


def test_what_an_optimizer_changes_is_in_the_flat_vector() -> None:
    from tasks.train import torch_nets

    _, weights, module = built("cnn:4,8")
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    loss = torch.nn.functional.cross_entropy(module(torch.from_numpy(samples_of("cnn:4,8", 8))), torch.arange(8))
    loss.backward()
    optimizer.step()
    flat = torch_nets.dump_flat(module)
    assert flat.dtype == np.float32
    assert np.array_equal(flat, np.concatenate([each.detach().numpy().ravel() for each in module.parameters()]))
    assert 0.009 < np.abs(flat - weights).max() < 0.011


def test_loading_keeps_the_optimizers_state_and_copies_from_readonly() -> None:
    from tasks.train import torch_nets

    net, weights, module = built("mlp:8")
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.from_numpy(samples_of("mlp:8", 4))).sum().backward()
    optimizer.step()
    weights.flags.writeable = False
    torch_nets.load_flat(module, weights)
    assert np.array_equal(torch_nets.dump_flat(module), weights)
    module(torch.from_numpy(samples_of("mlp:8", 4))).sum().backward()
    optimizer.step()
    assert optimizer.state[next(module.parameters())]["step"] == 2
    assert not np.array_equal(torch_nets.dump_flat(module), weights)
    assert len(optimizer.state) == len(net.parameters)


def test_building_a_net_draws_nothing_from_the_generator() -> None:
    from tasks.train import torch_nets

    torch.manual_seed(1)
    before = torch.get_rng_state()
    torch_nets.build(resolved("resnet-s:8,16"))
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_another_net_are_refused_by_their_length() -> None:
    from tasks.train import torch_nets

    net, _, module = built("mlp:8")
    with pytest.raises(ValueError, match=f"the net has {net.size} weights"):
        torch_nets.load_flat(module, np.zeros(net.size + 1, np.float32))


def test_first_weights_are_spread_as_those_of_torch() -> None:
    """Not the same numbers, the same distribution: by the largest, and the standard deviation, of each array."""
    from aggregators import nets

    net = nets.resolve(nets.parse("cnn:32,64"), (3, 16, 16), 64)
    torch.manual_seed(0)
    modules = [torch.nn.Conv2d(3, 32, 3), torch.nn.Conv2d(32, 64, 3), torch.nn.Linear(64 * 16, 64)]
    theirs = [each.detach().numpy() for module in modules for each in module.parameters()]
    for ours, their in zip(net.named(net.init(0)).values(), theirs, strict=True):
        assert ours.shape == their.shape
        assert ours.std() == pytest.approx(their.std(), rel=0.25)
        assert np.abs(ours).max() == pytest.approx(np.abs(their).max(), rel=0.15)


@pytest.mark.parametrize("name", sorted(name for name in SHAPES if resolved(name).outputs > 1))
def test_onnxruntime_says_of_samples_what_torch_says(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'cluster[onnx]'")
    net, weights, module = built(name)
    samples = samples_of(name, 200)
    written = onnx_net.write(net, weights, card(net.outputs))
    session = runtime.InferenceSession(written, providers=["CPUExecutionProvider"])
    labels, shares = session.run(["labels", "probabilities"], {"x": samples.astype(np.float64)})
    with torch.no_grad():
        wanted = module(torch.from_numpy(samples)).softmax(1).numpy()
    assert np.abs(shares - wanted).max() <= 1e-6
    assert labels.tolist() == [f"c{best}" for best in wanted.argmax(1)]
    assert wanted.std(axis=0).max() > 0.001


def test_each_layer_is_there_in_torch_and_numpy() -> None:
    from tasks.train import torch_nets

    assert set(torch_nets.MODULES) == set(forward.APPLY) == set(layers.OPTIONS)
    tried = {each.type for name in SHAPES for layer in resolved(name).layers for each in (layer, *layer.inner)}
    assert tried == set(layers.OPTIONS)
