"""Grad-CAM (Selvaraju et al., ICCV 2017) at any stage of any image encoder.

Channels of the stage's output are weighted with the mean over the film of the score's gradient and summed; what is
negative is left out. Class and register tokens of transformers take no part.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from index_builder.explanation.base import Explanation
from index_builder.explanation.maps import pixel_map
from index_builder.explanation.subject import Subject


def grad_cam(subject: Subject, layer: str) -> Explanation:
    """Explain the film by a stage of the image encoder."""
    from captum.attr import LayerGradientXActivation

    system = subject.system
    text = subject.encode_text()
    score = 0.0

    def forward(films: Tensor) -> Tensor:
        nonlocal score
        found = subject.score(system.encode_images(films), text)
        score = float(found[0].detach())
        return found

    grid = nn.Identity()
    stage: nn.Module = system.image_stages()[layer]
    handle = stage.register_forward_hook(lambda module, inputs, output: _through(grid, output))
    try:
        weights: Tensor = LayerGradientXActivation(forward, grid).attribute(subject.film)
    finally:
        handle.remove()
    return Explanation(
        method="grad-cam",
        image=pixel_map(weights[0].sum(0).clamp(min=0).flatten(), system.config.image_size),
        words=(),
        signed=False,
        score=score,
        layer=layer,
    )


def _through(grid: nn.Module, output: Any) -> Any:
    """A stage's output with its patches taken through `grid` as [B, C, h, w]."""
    if isinstance(output, tuple):
        return (_through(grid, output[0]), *output[1:])
    tensor: Tensor = output
    if not tensor.requires_grad:  # behind a frozen backbone: nothing before this stage needs a gradient
        tensor = tensor.detach().requires_grad_()
    if tensor.ndim == 3:
        edge = math.isqrt(tensor.shape[1])
        prefix = tensor.shape[1] - edge * edge
        patches = grid(tensor[:, prefix:].transpose(1, 2).unflatten(2, (edge, edge)))
        return torch.cat([tensor[:, :prefix], patches.flatten(2).transpose(1, 2)], 1)
    if tensor.shape[1] == tensor.shape[2] != tensor.shape[3]:  # Swin keeps channels last
        patches = grid(tensor.permute(0, 3, 1, 2))
        return patches.permute(0, 2, 3, 1)
    return grid(tensor)
