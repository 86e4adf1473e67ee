"""Depthwise convolutions whose gradients take a CPU no longer than the rest of a network's.

torch hands them to oneDNN, whose gradients of depthwise weights, above all of 5 × 5 kernels on small maps, take forty
times what the arithmetic needs: three quarters of a training step of EfficientNet-Lite0. Here they are summed directly,
channels innermost, so that each step of the loop fills the vector units. `tests/benchmarks/depthwise.py` compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from index_builder import vision_compat  # noqa: F401  must precede timm

from timm.layers import Conv2dSame  # isort: skip

Floats = NDArray[np.float32]


@contextmanager
def quick_depthwise(module: nn.Module) -> Iterator[None]:
    """Let the depthwise convolutions inside a module that lies on the CPU take their gradients from here."""
    changed = [
        part
        for part in module.modules()
        if isinstance(part, nn.Conv2d) and is_depthwise(part) and part.weight.device.type == "cpu"
    ]
    for part in changed:
        part.forward = partial(_forward, part)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for part in changed:
            del part.forward  # what the class has is seen again


def is_depthwise(convolution: nn.Conv2d) -> bool:
    """Whether each channel is convolved by itself, in a way that is covered here."""
    return (
        convolution.groups == convolution.in_channels == convolution.out_channels > 1
        and convolution.dilation == (1, 1)
        and convolution.stride[0] == convolution.stride[1]
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
    )


def _forward(convolution: nn.Conv2d, given: Tensor) -> Tensor:
    weight, bias = convolution.weight, convolution.bias
    if torch.is_autocast_enabled("cpu"):
        kind = torch.get_autocast_dtype("cpu")
        given, weight = given.to(kind), weight.to(kind)
    found: Tensor = _Depthwise.apply(given, weight, convolution.stride[0], _padding(convolution, given))
    return found if bias is None else found + bias.to(found.dtype)[:, None, None]


def _padding(convolution: nn.Conv2d, given: Tensor) -> tuple[int, int, int, int]:
    """Zeros added on the left, right, above and below."""
    if isinstance(convolution, Conv2dSame):  # by the size of what it is given, as TensorFlow does
        high, wide = (
            max((-(-given.shape[2 + axis] // stride) - 1) * stride + size - given.shape[2 + axis], 0)
            for axis, (size, stride) in enumerate(zip(convolution.kernel_size, convolution.stride, strict=True))
        )
        return wide // 2, wide - wide // 2, high // 2, high - high // 2
    padding: Any = convolution.padding
    return padding[1], padding[1], padding[0], padding[0]


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, stride: int, padding: tuple[int, int, int, int]) -> Tensor:
        ctx.save_for_backward(given, weight)
        ctx.stride, ctx.padding = stride, padding
        left, right, above, below = padding
        if (left, above) == (right, below):
            return functional.conv2d(given, weight, None, stride, (above, left), groups=len(weight))
        return functional.conv2d(functional.pad(given, padding), weight, None, stride, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        given, weight = ctx.saved_tensors
        left, _, above, _ = ctx.padding
        outer = _channels_last(gradient)
        of_given = of_weight = None
        if ctx.needs_input_grad[1]:
            inner = _channels_last(given)
            taps = np.zeros((len(inner), *weight.shape[2:], len(weight)), np.float32)
            _weight_gradient(inner, outer, taps, ctx.stride, above, left)
            of_weight = torch.from_numpy(taps.sum(0)).permute(2, 0, 1)[:, None].to(weight.dtype)
        if ctx.needs_input_grad[0]:
            back = np.zeros((given.shape[0], *given.shape[2:], given.shape[1]), np.float32)
            kernel = np.ascontiguousarray(weight[:, 0].float().permute(1, 2, 0).numpy())
            _input_gradient(outer, kernel, back, ctx.stride, above, left)
            of_given = torch.from_numpy(back).permute(0, 3, 1, 2).to(given.dtype)
        return of_given, of_weight, None, None


def _channels_last(maps: Tensor) -> NDArray[Any]:
    """Maps [B, C, H, W] as contiguous [B, H, W, C]: float32, or the bits of bfloat16 as uint16."""
    laid = maps.permute(0, 2, 3, 1).contiguous()
    if laid.dtype == torch.bfloat16:
        return np.asarray(laid.view(torch.uint16).numpy())
    return np.asarray(laid.float().numpy())


def _single(values: NDArray[Any]) -> Floats:
    """Float32 of float32, or of the bits of bfloat16, which is the upper half of it; compiled code alone calls it."""
    raise NotImplementedError


@overload(_single, strict=False)  # strictness is about annotations
def _compiled_single(values: Any) -> Callable[[Any], Any]:
    if values.dtype == numba.types.uint16:
        return lambda values: (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return lambda values: values


@numba.njit(parallel=True, fastmath=True, cache=True)
def _weight_gradient(
    given: NDArray[Any], gradient: NDArray[Any], taps: Floats, stride: int, above: int, left: int
) -> None:
    """Add to `taps` [B, k, k, C] what each film says of each weight."""
    for film in numba.prange(len(gradient)):
        inner, outer, found = _single(given[film]), _single(gradient[film]), taps[film]
        for y in range(outer.shape[0]):
            for x in range(outer.shape[1]):
                for i in range(found.shape[0]):
                    row = y * stride + i - above
                    if 0 <= row < inner.shape[0]:
                        for j in range(found.shape[1]):
                            column = x * stride + j - left
                            if 0 <= column < inner.shape[1]:
                                for c in range(outer.shape[2]):
                                    found[i, j, c] += inner[row, column, c] * outer[y, x, c]


@numba.njit(parallel=True, fastmath=True, cache=True)
def _input_gradient(gradient: NDArray[Any], kernel: Floats, given: Floats, stride: int, above: int, left: int) -> None:
    """Add to `given` [B, H, W, C] what each output passes back through `kernel` [k, k, C]."""
    for film in numba.prange(len(gradient)):
        outer, inner = _single(gradient[film]), given[film]
        for y in range(outer.shape[0]):
            for x in range(outer.shape[1]):
                for i in range(kernel.shape[0]):
                    row = y * stride + i - above
                    if 0 <= row < inner.shape[0]:
                        for j in range(kernel.shape[1]):
                            column = x * stride + j - left
                            if 0 <= column < inner.shape[1]:
                                for c in range(outer.shape[2]):
                                    inner[row, column, c] += outer[y, x, c] * kernel[i, j, c]
