"""How well lungs, heart and clavicles are outlined, and what is told from it: with 95 % intervals.

    python tests/benchmarks/anatomy.py outlines [SHARED]       # Dice and the cardiothoracic ratio on JSRT's test part
    python tests/benchmarks/anatomy.py speed [SHARED]          # ms a film by ONNX Runtime and by PyTorch, size
    python tests/benchmarks/anatomy.py hanging [SHARED]        # films called turned or mirrored: false alarms, hits
    python tests/benchmarks/anatomy.py offsets [SHARED]        # where the heart lies on validation films, as they are
    python tests/benchmarks/anatomy.py turned [SHARED]         # names of Open-i's frontal films that seem turned

SHARED holds `jsrt`, `covid_sample`, `nih_sample` and `openi_films`; default ../shared/data beside the checkout. Figures
are for films no part of which was trained or chosen on, save `offsets`, from which the limit was chosen, and `turned`,
which goes through all of Open-i.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from index_builder.anatomy.dice import dice
from index_builder.anatomy.measure import (
    cardiothoracic_ratio,
    cut_off,
    heart_offset,
    implausible,
    ragged,
    ratio_of_masks,
)
from index_builder.anatomy.orientation import MIRRORED_OFFSET, orientation_of
from index_builder.anatomy.outlined import covid_films, jsrt_masks
from index_builder.anatomy.segmenter import Segmenter
from index_builder.anatomy.storage import WEIGHTS_FILE, load_network
from index_builder.anatomy.structures import LEFT_LUNG, RIGHT_LUNG, STRUCTURES
from index_builder.calibration.bootstrap import interval, resampled_weights
from index_builder.datasets import open_dataset
from index_builder.datasets.published.jsrt import JSRT
from index_builder.film_check.check import TURNS, turned
from index_builder.imaging import model_input
from index_builder.resources import resource
from index_builder.systems.running.parts import Eager

Film = NDArray[np.float32]

_HERE = Path(__file__).resolve().parents[2]
_FOLDER = resource("assets", "checkpoints", "anatomy")
#: Films of a collection that are looked at as they are, and of these turned and mirrored.
_SOME, _FEWER = 400, 100


def main(task: str, shared: Path) -> None:
    """Print one table."""
    torch.set_num_threads(1)
    tasks = {"outlines": _outlines, "speed": _speed, "hanging": _hanging, "offsets": _offsets, "turned": _turned_films}
    if task not in tasks:
        sys.exit(__doc__)
    tasks[task](Segmenter.load(_FOLDER), shared)


def _outlines(segmenter: Segmenter, shared: Path) -> None:
    dataset = JSRT(shared / "jsrt")
    scores, ours, theirs, refused = [], [], [], []
    for case in dataset.cases():
        if case.split != "test" or case.image is None:
            continue
        true = jsrt_masks(dataset.root, case.case_id)
        anatomy = segmenter.outline(dataset.load_film(case.image).pixels)
        found = anatomy.on_film()
        both = [masks[[RIGHT_LUNG, LEFT_LUNG]].any(axis=0) for masks in (found, true)]
        scores.append([dice(*both), *(dice(one, other) for one, other in zip(found, true, strict=True))])
        measured, outlined = cardiothoracic_ratio(anatomy), ratio_of_masks(true)
        why = implausible(anatomy) or ("ragged" if ragged(anatomy) else "cut off" if cut_off(anatomy) else "")
        if why or measured is None or outlined is None:
            refused.append(f"{case.case_id} ({why})")
            continue
        ours.append(measured.ratio)
        theirs.append(outlined.ratio)
    print(f"JSRT, test part: {len(scores)} films, on their own pixels")
    for name, values in zip(("both lungs", *STRUCTURES), np.transpose(scores), strict=True):
        print(f"  Dice {name:<15} {_told(values)}  lowest {values.min():.3f}")
    error = np.array(ours) - np.array(theirs)
    low, high = error.mean() - 1.96 * error.std(ddof=1), error.mean() + 1.96 * error.std(ddof=1)
    print(f"  cardiothoracic ratio of {len(error)} films; none told of {len(refused)}: {', '.join(refused) or '-'}")
    print(
        f"    mean absolute error {_told(np.abs(error), 4)}; bias {error.mean():+.4f}, limits {low:+.4f} to {high:+.4f}"
    )
    print(f"    ratio as people outlined {np.mean(theirs):.3f} ± {np.std(theirs):.3f}")
    large = np.array(theirs) > 0.5
    print(
        f"    above 0.5: {large.sum()} by people, of which {(np.array(ours)[large] > 0.5).sum()} by the program too, "
    )
    print(f"    and {(np.array(ours)[~large] > 0.5).sum()} of the other {(~large).sum()}")
    far = list(covid_films(shared / "covid_sample", "test"))
    values = np.array(
        [
            dice(segmenter.outline(one.pixels).on_film()[side], one.masks[side])
            for one in far
            for side in (RIGHT_LUNG, LEFT_LUNG)
        ]
    )
    print(f"COVID-19 collection, test part: {len(far)} films, V7's lungs (with parts behind the heart)")
    print(f"  Dice of a lung {_told(values)}  below 0.8: {(values < 0.8).mean():.1%}")


def _speed(segmenter: Segmenter, shared: Path) -> None:
    dataset = JSRT(shared / "jsrt")
    films = [dataset.load_film(str(case.image)).pixels for case in list(dataset.cases())[:20]]
    inputs = [model_input(film, segmenter.config.size)[None] for film in films]
    network, config = load_network(_FOLDER)
    eager = Segmenter(Eager(network), config)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        print(f"PyTorch, {threads} thread(s): network {_milliseconds(eager.probabilities, inputs):.1f} ms a film")
    print(f"ONNX Runtime, 1 thread: network {_milliseconds(segmenter.probabilities, inputs):.1f} ms a film")
    print(f"ONNX Runtime, 1 thread: film of 512 px to outline {_milliseconds(segmenter.outline, films):.1f} ms")
    worst = max(float(np.abs(eager.probabilities(one) - segmenter.probabilities(one)).max()) for one in inputs)
    print(f"largest difference of a probability between the two: {worst:.1e}")
    weights = sum(one.numel() for one in network.parameters())
    print(f"{weights:,} weights, {(_FOLDER / WEIGHTS_FILE).stat().st_size / 1e6:.2f} MB")


def _milliseconds(work, given) -> float:  # type: ignore[no-untyped-def]
    work(given[0])
    times = []
    for one in given:
        started = time.perf_counter()
        work(one)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))


def _offsets(segmenter: Segmenter, shared: Path) -> None:
    for kind, folder in (("openi", "openi_films"), ("jsrt", "jsrt")):
        found = []
        for _, film in _frontals(kind, shared / folder, ("val",)):
            anatomy = segmenter.outline(film)
            if not implausible(anatomy):
                mirrored = segmenter.outline(np.ascontiguousarray(film[:, ::-1]))
                found.append((heart_offset(anatomy), np.nan if implausible(mirrored) else heart_offset(mirrored)))
        values = np.array(found)
        for name, column in (("as they are", values[:, 0]), ("mirrored", values[:, 1])):
            quantiles = np.nanpercentile(column, (0, 0.5, 1, 2, 5, 50, 95, 98, 99, 99.5, 100))
            print(f"{kind} val, {len(values)} films {name}: " + " ".join(f"{one:+.3f}" for one in quantiles))


def _hanging(segmenter: Segmenter, shared: Path) -> None:
    print(f"limit of the heart's offset {MIRRORED_OFFSET}")
    for kind, folder in (("openi", "openi_films"), ("nih", "nih_sample"), ("covid", "covid_sample")):
        parts = ("test",) if kind != "covid" else ("train", "val", "test")
        films = list(_frontals(kind, shared / folder, parts))[:_SOME]
        found = [orientation_of(segmenter, film) for _, film in films]
        kinds = Counter(one.turn or ("mirrored" if one.mirrored else "") for one in found)
        sound = sum(not implausible(one.anatomy) for one in found)
        print(f"{kind}: {len(films)} frontal films of {', '.join(parts)}; plausible {sound / len(films):.1%}")
        alarms = np.array([one.turn is not None for one in found], float)
        print(f"  as they are: called turned {_told(alarms)}, {dict(kinds)}")
        for (name, _), one in zip(films, found, strict=True):
            if one.turn or one.mirrored:
                print(f"    {name}: {one.turn or 'mirrored'}")
        mirrored = np.array([one.mirrored for one in found], float)
        print(f"  as they are: called mirrored {_told(mirrored)}")
        some = films[:: max(1, len(films) // _FEWER)][:_FEWER]
        for turn in TURNS[2:]:
            hits = np.array([orientation_of(segmenter, turned(film, turn)).turn == turn for _, film in some], float)
            print(f"  {turn}: found {_told(hits)}")
        swapped = [orientation_of(segmenter, np.ascontiguousarray(film[:, ::-1])).mirrored for _, film in some]
        print(f"  mirrored: found {_told(np.array(swapped, float))}")


def _turned_films(segmenter: Segmenter, shared: Path) -> None:
    count = kept = 0
    for name, film in _frontals("openi", shared / "openi_films", ("train", "val", "test")):
        count += 1
        found = orientation_of(segmenter, film)
        kept += not implausible(found.anatomy)
        if found.turn or found.mirrored:
            offset = "" if found.turn else f" {heart_offset(found.anatomy):+.3f}"
            print(f"{name}: {found.turn or 'mirrored'}{offset}")
    print(f"{count} primary films that are no laterals; a chest found upright on {kept}")


def _frontals(kind: str, root: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, Film]]:
    dataset = open_dataset(kind, root)
    for case in dataset.cases():
        if case.image is not None and case.split in parts and case.view != "LATERAL":
            yield case.image, dataset.load_film(case.image).pixels


def _told(values: NDArray[np.floating], digits: int = 3) -> str:
    weights = resampled_weights(len(values))
    low, high = interval(weights @ values / weights.sum(axis=1)) or (np.nan, np.nan)
    return f"{values.mean():.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "",
        Path(sys.argv[2]) if len(sys.argv) > 2 else _HERE.parent / "shared/data",
    )
