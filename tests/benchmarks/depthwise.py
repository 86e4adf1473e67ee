"""What a training step of the image encoder costs with torch's gradients of depthwise weights and with ours.

    python tests/benchmarks/depthwise.py [--films 32] [--size 224]

Films a second of one forward and backward pass of the compact image encoder in the precision that training uses, with
all stages trained and with those of 28 × 28 and coarser maps alone, both ways in turn.
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter

import torch

from index_builder.systems.backbones.encoders import ImageEncoder
from index_builder.training.economy.depthwise import quick_depthwise
from index_builder.training.loop import cpu_computes_bf16

REPEATS = 3


def films_a_second(encoder: ImageEncoder, films: torch.Tensor, way: AbstractContextManager[None]) -> float:
    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=cpu_computes_bf16()):
            tokens = encoder(films)
        tokens.float().square().mean().backward()

    with way:
        step()
        began = perf_counter()
        for _ in range(REPEATS):
            step()
    return REPEATS * len(films) / (perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    given = parser.parse_args()
    print("stages trained   torch   ours   ratio   films/s")
    for stages in (-1, 6):
        encoder = ImageEncoder(
            "package:efficientnet-lite0", given.size, pretrained=True, trained_stages=stages, pyramid_width=128
        ).train()
        films = torch.rand(given.films, given.size, given.size)
        theirs, ours = (films_a_second(encoder, films, way) for way in (nullcontext(), quick_depthwise(encoder)))
        print(f"{stages:14d} {theirs:7.1f} {ours:6.1f} {ours / theirs:7.2f}", flush=True)


if __name__ == "__main__":
    main()
