"""The network that outlines lungs, heart and clavicles: a small U-Net of dense convolutions.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015. The first
convolution halves the film and the last one doubles the maps again (Shi et al., "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016): full resolution is where a
processor would spend most of its time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from index_builder.anatomy.structures import WIDTHS


class AnatomyNet(nn.Module):
    """Films to a logit for each structure and pixel."""

    def __init__(self, structures: int, widths: Sequence[int] = WIDTHS) -> None:
        """Build with random weights.

        Args:
            structures: Maps to give.
            widths: Channels of each level, finest first. Films must be divisible by 2 to the number of levels.
        """
        super().__init__()
        self.stem = _convolution(1, widths[0], stride=2)
        self.down = nn.ModuleList()
        before = widths[0]
        for width in widths:
            self.down.append(nn.Sequential(_convolution(before, width), _convolution(width, width)))
            before = width
        self.up = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.up.append(nn.Sequential(_convolution(before + width, width), _convolution(width, width)))
            before = width
        self.head = nn.Conv2d(before, 4 * structures, 1)

    def forward(self, films: Tensor) -> Tensor:
        """Films [B, 1, S, S] float32 in 0..1 to logits [B, structures, S, S]."""
        features = self.stem(films - 0.5)
        seen = []
        for level, block in enumerate(self.down):
            if level:
                features = functional.max_pool2d(features, 2)
            features = block(features)
            seen.append(features)
        seen.pop()
        for block in self.up:
            finer = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(torch.cat([finer, seen.pop()], 1))
        return functional.pixel_shuffle(self.head(features), 2)


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )
