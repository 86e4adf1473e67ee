"""Gradients of depthwise convolutions: torch's own, sooner."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from index_builder import vision_compat  # noqa: F401  must precede timm
from index_builder.training.economy.depthwise import quick_depthwise


def gradients(module: nn.Module, given: Tensor, outer: Tensor) -> list[Tensor]:
    """What a module gives, and the gradients of its input and weights."""
    module.zero_grad()
    given = given.clone().requires_grad_()
    found = module(given)
    found.backward(outer.to(found.dtype))
    assert given.grad is not None
    return [found.detach(), given.grad, *(p.grad for p in module.parameters() if p.grad is not None)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [((9, 9), 3, 1, 1), ((9, 12), 5, 2, 0), ((10, 7), 5, 1, 2), ((11, 8), 3, 2, 1)],
)
def test_gradients_are_those_of_torch(
    size: tuple[int, int], kernel: int, stride: int, padding: int, bias: bool
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(12, 12, kernel, stride, padding, groups=12, bias=bias)
    given = torch.randn(3, 12, *size)
    outer = torch.randn_like(convolution(given))
    expected = gradients(convolution, given, outer)
    with quick_depthwise(convolution):
        found = gradients(convolution, given, outer)
    assert len(found) == 3 + bias
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [16, 17])
def test_padding_as_tensorflow_does_it(size: int) -> None:
    from timm.layers import Conv2dSame

    torch.manual_seed(0)
    convolution = Conv2dSame(8, 8, 5, stride=2, groups=8, bias=False)
    given = torch.randn(2, 8, size, size)
    outer = torch.randn_like(convolution(given))
    expected = gradients(convolution, given, outer)
    with quick_depthwise(convolution):
        found = gradients(convolution, given, outer)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_in_mixed_precision_a_whole_network_learns_as_before() -> None:
    """As near to exact gradients as torch's own of half precision are."""
    import timm

    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", num_classes=4).eval()
    films = torch.randn(2, 3, 64, 64)

    def learnt(*, mixed: bool) -> Tensor:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            found = network(films.contiguous(memory_format=torch.channels_last))
        found.float().square().mean().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    exact = learnt(mixed=False)
    torchs = learnt(mixed=True)
    with quick_depthwise(network):
        ours = learnt(mixed=True)
    assert (ours - exact).norm() < 1.2 * (torchs - exact).norm()


def test_afterwards_everything_is_as_before() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=4))
    with quick_depthwise(network):
        assert ["forward" in vars(part) for part in network] == [True, False, False]
        copied = copy.deepcopy(network)
        with torch.no_grad():
            copied[0].weight.zero_()
            assert copied[0](torch.ones(1, 4, 5, 5)).abs().max() <= copied[0].bias.abs().max()
    assert not any("forward" in vars(part) for part in network)
