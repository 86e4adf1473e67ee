"""Ways to run the compact encoders on a processor: `python tests/benchmarks/inference.py CASEBOOK [CASES] [ROUNDS]`.

Each way is measured in one process on one thread, in turn with the eager encoders (round after round, the fastest
counts), so that what else the machine does falls on all alike. CASEBOOK's own system encodes films and reports of its
first CASES cases; these vectors are compared with eager's, and by their nearest neighbours among the same cases.
What builds and queries do, by the graphs in the casebook, is called adopted; "ONNX Runtime" is PyTorch's newer exporter
and needs `pip install onnxscript`.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.export import Dim

from explorer.casebook import Casebook
from index_builder.build.embed import load_film
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.graphs.encoder import Part
from index_builder.systems.graphs.tokens import MAX_CHARS

BATCH = 32
_TOP = 10

Encode = Callable[..., Tensor]


class ImageSide(nn.Module):
    """Films [B, S, S] to vectors [B, D]."""

    def __init__(self, system: RetrievalSystem) -> None:
        super().__init__()
        self.encoder, self.tower = system.image_encoder, system.image_tower

    def forward(self, films: Tensor) -> Tensor:
        """See the class."""
        vectors: Tensor = self.tower(self.encoder(films)).vector
        return vectors


class TextSide(nn.Module):
    """Token numbers and mask, [B, L] int64, to vectors [B, D]; tokenizing is the same for all ways and left out."""

    def __init__(self, system: RetrievalSystem) -> None:
        super().__init__()
        self.encoder, self.tower = system.text_encoder, system.text_tower

    def forward(self, numbers: Tensor, mask: Tensor) -> Tensor:
        """See the class."""
        vectors: Tensor = self.tower(self.encoder.tokens((numbers, mask)), mask.bool()).vector
        return vectors


def ways(side: nn.Module, adopted: Encode, example: tuple[Tensor, ...]) -> dict[str, Callable[[], Encode]]:
    """What is compared, eager first; each is made when its turn comes, since some take long or fail."""

    def channels_last() -> Encode:
        return copy.deepcopy(side).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def folded() -> Encode:
        return torch.jit.optimize_for_inference(torch.jit.trace(copy.deepcopy(side), example, check_trace=False))

    def bf16() -> Encode:
        def encode(*inputs: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return side(*inputs).float()

        return encode

    def int8() -> Encode:
        return torch.ao.quantization.quantize_dynamic(copy.deepcopy(side), {nn.Linear}, torch.qint8)

    found: dict[str, Callable[[], Encode]] = {
        "eager": lambda: side,
        "channels-last weights": channels_last,
        "frozen TorchScript": folded,
        "bfloat16 autocast": bf16,
        "int8 dynamic (linear)": int8,
        "graphs (adopted)": lambda: adopted,
        "ONNX Runtime": lambda: _onnx(side, example),
        "ONNX Runtime int8": lambda: _onnx(side, example, quantised=True),
        # For each shape anew: one for all shapes had not compiled after 100 minutes.
        "torch.compile": lambda: torch.compile(copy.deepcopy(side), dynamic=False),
    }
    if not any(isinstance(module, nn.Conv2d) for module in side.modules()):
        del found["channels-last weights"]
    return found


def _onnx(side: nn.Module, example: tuple[Tensor, ...], *, quantised: bool = False) -> Encode:
    import onnxruntime

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "side.onnx"
        names = [f"input{number}" for number in range(len(example))]
        axes = tuple({0: Dim.DYNAMIC, **({1: Dim.DYNAMIC} if len(example) > 1 else {})} for _ in example)
        torch.onnx.export(side, example, path, input_names=names, dynamic_shapes=axes, external_data=False)
        if quantised:
            from onnxruntime.quantization import quantize_dynamic

            quantize_dynamic(path, small := path.with_name("int8.onnx"))
            path = small
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])

    def encode(*inputs: Tensor) -> Tensor:
        given = dict(zip(names, (one.numpy() for one in inputs), strict=True))
        return torch.from_numpy(session.run(None, given)[0])

    return encode


def _graph(part: Part) -> Encode:
    return lambda *inputs: torch.from_numpy(part(*(one.numpy() for one in inputs))[0])


@torch.inference_mode()
def encoded(encode: Encode, batches: list[tuple[Tensor, ...]]) -> np.ndarray:
    """Vectors of all batches, [N, D]."""
    return torch.cat([encode(*batch) for batch in batches]).numpy()


@torch.inference_mode()
def seconds(encode: Encode, batch: tuple[Tensor, ...]) -> float:
    """Seconds of the processor for one pass: on one thread that is its time, less what others take of the machine."""
    began = process_time()
    encode(*batch)
    return process_time() - began


def agreement(vectors: np.ndarray, eager: np.ndarray) -> tuple[float, float, float]:
    """Shares of eager's ten nearest and of its nearest that stay, mean rank correlation of its 50 nearest."""
    ours, theirs = vectors @ vectors.T, eager @ eager.T
    np.fill_diagonal(ours, -2)
    np.fill_diagonal(theirs, -2)
    new, old = np.argsort(-ours, 1, kind="stable"), np.argsort(-theirs, 1, kind="stable")
    kept = np.mean([len(set(a[:_TOP]) & set(b[:_TOP])) / _TOP for a, b in zip(new, old, strict=True)])
    ranks = [spearmanr(ours[row, near], theirs[row, near]).statistic for row, near in enumerate(old[:, :50])]
    return float(kept), float((new[:, 0] == old[:, 0]).mean()), float(np.mean(ranks))


def measure(name: str, side: nn.Module, adopted: Encode, batches: list[tuple[Tensor, ...]], rounds: int) -> None:
    """Print one table."""
    one, many = tuple(part[:1] for part in batches[0]), batches[len(batches) // 2]
    total = sum(len(batch[0]) for batch in batches)
    print(f"\n{name}: {total} cases, batch of {len(many[0])} of shape {tuple(many[0].shape)}")
    print(
        f"{'way':<24}{'1: ms':>8}{'x':>6}{'32: /s':>9}{'x':>6}"
        f"{'max diff':>10}{'top 10':>8}{'nearest':>9}{'rank corr':>11}"
    )
    eager = encoded(side, batches)
    for title, make in ways(side, adopted, many).items():
        try:
            encode = make()
            vectors = encoded(encode, batches)  # warms up, too
        except Exception as error:  # a way that does not work here is a result, too
            print(
                f"{title:<24} not possible here: {type(error).__name__}: {str(error).splitlines()[0][:90]}", flush=True
            )
            continue
        times = {kind: ([], []) for kind in ("one", "many")}
        for _ in range(rounds):
            for kind, batch, repeats in (("one", one, 3), ("many", many, 1)):
                for which, run in enumerate((side, encode)):
                    times[kind][which].append(min(seconds(run, batch) for _ in range(repeats)))
        (base1, own1), (base32, own32) = ([min(part) for part in times[kind]] for kind in ("one", "many"))
        kept, nearest, correlation = agreement(vectors, eager)
        print(
            f"{title:<24}{1e3 * own1:>8.1f}{base1 / own1:>6.2f}{len(many[0]) / own32:>9.1f}{base32 / own32:>6.2f}"
            f"{np.abs(vectors - eager).max():>10.1e}{kept:>8.3f}{nearest:>9.3f}{correlation:>11.4f}",
            flush=True,
        )


def main(folder: str, count: int, rounds: int) -> None:
    """Measure both encoders of a casebook's system."""
    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = 64  # beyond it a new shape would run eagerly, and count as compiled
    casebook = Casebook.open(folder)
    system, parts = casebook.system, casebook.encoder.parts
    cases = [casebook.case(case_id) for case_id in casebook.case_ids[: 2 * count]]
    films = [case for case in cases if case.image is not None][:count]
    pixels = torch.from_numpy(
        np.stack([load_film(casebook._source, str(case.image), casebook.encoder).pixels for case in films])
    )
    print(f"{folder}: {casebook.manifest.system.name}, one thread, torch {torch.__version__}, {rounds} rounds")
    measure("image", ImageSide(system).eval(), _graph(parts["film"]), [(part,) for part in pixels.split(BATCH)], rounds)
    texts = sorted((text[:MAX_CHARS] for case in cases if (text := system.text_of(case))), key=len)[:count]
    encoder = system.text_encoder
    batches = []
    for start in range(0, len(texts), BATCH):
        found = encoder.tokenizer(
            texts[start : start + BATCH],
            padding=True,
            truncation=True,
            max_length=encoder.max_tokens,
            return_tensors="pt",
        )
        batches.append((found["input_ids"], found["attention_mask"]))
    measure("text", TextSide(system).eval(), _graph(parts["text"]), batches, rounds)


if __name__ == "__main__":
    main(
        sys.argv[1],
        int(sys.argv[2]) if len(sys.argv) > 2 else 256,
        int(sys.argv[3]) if len(sys.argv) > 3 else 5,
    )
