"""What a start costs: `python tests/benchmarks/start_up.py CASEBOOK [QUERIES]`.

Seconds by the clock and of the processor for imports and for cold searches, each in a process of its own, the best of
three, and memory of that process. Then QUERIES (500) texts, reports and their sentences, by graphs and by PyTorch: how
how far their vectors lie apart, and how many find the same neighbours. The search by PyTorch alone stands beside it:
CASEBOOK is copied without the record of its graphs, as casebooks were before December 2026.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import digest_files, read_manifest, write_manifest
from index_builder.systems.graphs.record import ENCODER_FILE

ROUNDS, NEAREST = 3, 10
TEXT = "small pleural effusion"
_QUIET = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]


def cold(*arguments: str) -> tuple[float, float, float]:
    """Fastest seconds by the clock and of the processor, and largest memory in MB, of a Python process."""
    runs = []
    for _ in range(ROUNDS):
        began = perf_counter()
        process = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ, file_actions=_QUIET)
        _, status, usage = os.wait4(process, 0)
        assert status == 0, arguments
        runs.append((perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))
    wall, processor, memory = zip(*runs, strict=True)
    return min(wall), min(processor), max(memory)


def without_graphs(folder: Path, place: Path) -> Path:
    """A copy of a casebook as it was before there were graphs."""
    copy = shutil.copytree(folder, place / folder.name)
    (Layout(copy).system / ENCODER_FILE).unlink()
    write_manifest(copy, read_manifest(copy).model_copy(update={"files": digest_files(copy)}))
    return copy


def compare(folder: Path, count: int) -> None:
    """Print how far vectors by graphs and by PyTorch lie apart, and how many queries find the same."""
    # Here: processes that are started count as theirs what the starting one holds.
    import numpy as np

    from explorer.casebook import Casebook
    from index_builder.cases.profile import text_read
    from index_builder.systems.running.parts import torch_encoder

    casebook = Casebook.open(folder)
    cases = (casebook.case(case_id) for case_id in casebook.case_ids)
    texts = [text for case in cases if (text := text_read(case, casebook.manifest.system.reads))]
    texts = list(dict.fromkeys([*texts, *(sentence for text in texts for sentence in text.split(". ") if sentence)]))
    store = casebook.store("text" if "text" in casebook.spaces else "joint")
    found = []
    for encoder in (casebook.encoder, torch_encoder(casebook.system)):
        vectors = np.concatenate([encoder.encode_texts([text]).vectors for text in texts[:count]])
        found.append((vectors, [store.search(vector, NEAREST).keys for vector in vectors]))
    (ours, near), (theirs, nearest) = found
    same = sum(np.array_equal(one, other) for one, other in zip(near, nearest, strict=True))
    print(f"{len(ours)} queries: {same} find the same {NEAREST} cases in the same order")
    print(f"largest difference of a coordinate of a vector: {np.abs(ours - theirs).max():.1e}")


def main(folder: Path, count: int) -> None:
    """Print the table, then the comparison."""
    command = ["-m", "explorer.cli", "search"]
    with tempfile.TemporaryDirectory() as place:
        before = without_graphs(folder, Path(place))
        rows = {
            "import explorer": ["-c", "import explorer"],
            "cxr-explorer --help": ["-m", "explorer.cli", "--help"],
            "search --text, graphs": [*command, str(folder), "--text", TEXT],
            "search --text, PyTorch": [*command, str(before), "--text", TEXT],
        }
        print(f"load {os.getloadavg()[0]:.1f}\n| | seconds | of the processor | MB |\n|---|---|---|---|")
        for name, arguments in rows.items():
            wall, processor, memory = cold(*arguments)
            print(f"| {name} | {wall:.2f} | {processor:.2f} | {memory:.0f} |", flush=True)
    compare(folder, count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 500)
