"""Tokens from several stages of a frozen backbone, so that small shadows survive (after Lin et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from index_builder.errors import ModelError
from index_builder.systems.backbones.backbone import Backbone


class FeaturePyramid(nn.Module):
    """Feature maps of several resolutions merged on one grid.

    The last stage of an ImageNet backbone sees what a film shows, but hardly small or faint shadows; earlier stages
    still hold them. A few convolutions on top of those cost little beside training the backbone itself, and give heat
    maps of twice its resolution.
    """

    def __init__(self, channels: Sequence[int], width: int, grid: int, blocks: int) -> None:
        """Build.

        Args:
            channels: Of each map.
            width: Of a token.
            grid: Edge of the grid in tokens: all maps are brought to it.
            blocks: Convolution blocks after merging; of several each has a second, pointwise convolution.
        """
        super().__init__()
        self.grid = grid
        self.lateral = nn.ModuleList(
            # Normalised film by film: over a batch, the few real films would be measured by the many drawn ones.
            nn.Sequential(nn.InstanceNorm2d(count, affine=True), nn.Conv2d(count, width, 1, bias=False))
            for count in channels
        )
        self.position = nn.Parameter(torch.zeros(1, width, grid, grid))
        self.blocks = nn.ModuleList(nn.Sequential(*_block(width, pointwise=blocks > 1)) for _ in range(blocks))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps [B, C, H, W], one per level, to tokens [B, grid * grid, width] in row-major order."""
        merged: Tensor = self.position
        for lateral, found in zip(self.lateral, maps, strict=True):
            merged = merged + self._on_grid(lateral(found))
        for block in self.blocks:
            merged = merged + block(merged)
        return merged.flatten(2).transpose(1, 2)

    def _on_grid(self, found: Tensor) -> Tensor:
        size = int(found.shape[-1])
        if size > self.grid and size % self.grid == 0:
            # The same mean, in a form that ONNX has for maps whose size is known only when they come.
            return functional.avg_pool2d(found, size // self.grid)
        if size > self.grid:
            return functional.adaptive_avg_pool2d(found, self.grid)
        return functional.interpolate(found, (self.grid, self.grid), mode="nearest")


def _block(width: int, *, pointwise: bool) -> list[nn.Module]:
    convolved = nn.Conv2d(width, width, 3, padding=1, bias=False)
    block: list[nn.Module] = [nn.BatchNorm2d(width), nn.GELU(), convolved, nn.BatchNorm2d(width)]
    return [*block, nn.GELU(), nn.Conv2d(width, width, 1, bias=False)] if pointwise else block


def feature_levels(backbone: Backbone, source: str, image_size: int, levels: int) -> tuple[list[int], int]:
    """Channels of the maps that `feature_maps` gives, and the edge of the last but one: the pyramid's grid.

    Raises:
        ModelError: The backbone is none of timm's with feature maps, or films are so small that one is a single value.
    """
    if not hasattr(backbone.module, "forward_intermediates"):
        raise ModelError(f"image encoder {source!r} gives no feature maps. Set pyramid_width to 0.")
    training = backbone.module.training
    with torch.no_grad():
        maps = feature_maps(backbone.module.eval(), torch.zeros(1, len(backbone.mean), image_size, image_size), levels)
    backbone.module.train(training)
    if maps[-1].shape[-1] < 2:
        raise ModelError(f"films of {image_size} pixels are too small for a pyramid on {source!r}. Raise image_size.")
    return [found.shape[1] for found in maps], maps[-2].shape[-1]


def feature_maps(module: nn.Module, pixels: Tensor, levels: int) -> list[Tensor]:
    """Maps [B, C, H, W] of the last `levels` resolutions, finest first."""
    backbone: Any = module
    maps: list[Tensor] = backbone.forward_intermediates(
        pixels, indices=levels, intermediates_only=True, output_fmt="NCHW"
    )
    return maps
