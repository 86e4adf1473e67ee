"""What the lateral adds: `views.py CASEBOOK [--joint]`, for a casebook whose studies have several films.

On studies of the test part that have a frontal film as the primary one and a known lateral: AUROC of each finding by
the frontal film alone, the lateral alone and all films of the study together, and what the last adds to the first, with
a 95 % interval by resampling patients, the same for both. Then how many of the five nearest training cases share a
finding, for each way to ask. Then how often the view of a film is told rightly by the films like it, its own study left
out. Findings come from the system's classifier; a system without one lets the training cases vote.

`--joint` reads the films of the validation part: what joint vectors are, made with the primary film (as a build does),
with the vector of all films, or with the tokens of all films.

Nothing is chosen on the test part. Figures say something only of a system that was trained on real films.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from explorer import Casebook
from explorer.search.reading.film_report import FRONTAL_UP_TO, LATERAL_FROM
from index_builder.calibration.bootstrap import interval, resampled_weights
from index_builder.calibration.ranks import auroc_and_ap
from index_builder.calibration.voting import vote
from index_builder.casebook.films import FilmTable
from index_builder.cases.table import label_matrix
from index_builder.evaluation.classification import mean_of_defined
from index_builder.systems.encoding import Encoding

#: Fewer positives than this say nothing of a finding.
FEWEST = 10
NEAREST = 5
BATCH = 16

Vectors = NDArray[np.float32]
Score = Callable[[Vectors], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Studies:
    """Studies of one part with a frontal primary film and a lateral: rows, labels and vectors by what is asked with."""

    rows: NDArray[np.int64]
    names: tuple[str, ...]
    truth: NDArray[np.bool_]
    known: NDArray[np.bool_]
    vectors: Mapping[str, Vectors]


def main(folder: Path, *, joint: bool) -> None:
    casebook = Casebook.open(folder)
    films = casebook.case_films.table
    if films is None or not films.is_lateral.any():
        sys.exit(
            f"{folder}: no case has several films, or none is a lateral. Build one with frontal films and laterals."
        )
    print(f"{casebook.name}: {casebook.manifest.system.name}, {len(films):,} films of {len(casebook):,} cases")
    studies = _studies(casebook, films, "test")
    print(f"\ntest part: {len(studies.rows)} studies with a frontal film and a lateral")
    _findings(casebook, studies, _score(casebook, studies.names))
    _retrieval(casebook, films, studies)
    _told_views(casebook)
    if joint:
        _joint(casebook, films, _studies(casebook, films, "val"))
    print("For education and research, not for diagnosis.")


def _studies(casebook: Casebook, films: FilmTable, split: str) -> Studies:
    part = casebook.column("split") == split
    frontal = films.primary[[view in ("PA", "AP") for view in np.array(films.views.to_pylist())[films.primary]]]
    laterals = np.flatnonzero(films.is_lateral)
    rows, first, lateral = [], [], []
    for film in frontal.tolist():
        row = int(films.rows[film])
        beside = laterals[films.rows[laterals] == row]
        if part[row] and len(beside):
            rows.append(row)
            first.append(film)
            lateral.append(int(beside[0]))
    known = casebook.manifest.system.label_names
    by_vote = casebook.manifest.system.predicts_by == "vote"
    names = tuple(name for name in casebook.label_names if by_vote or name in known)
    chosen = np.array(rows, np.int64)
    return Studies(
        chosen,
        names,
        label_matrix(casebook.table.column("labels"), names)[chosen],
        casebook.known_matrix[chosen][:, [casebook.label_names.index(name) for name in names]],
        {
            "frontal film": films.vectors[first].astype(np.float32),
            "lateral": films.vectors[lateral].astype(np.float32),
            "all films": casebook.vectors("image")[chosen].astype(np.float32),
        },
    )


def _score(casebook: Casebook, names: tuple[str, ...]) -> Score:
    record = casebook.manifest.system
    if record.predicts_by == "classifier":
        columns = [record.label_names.index(name) for name in names]

        def classified(vectors: Vectors) -> NDArray[np.float64]:
            with torch.inference_mode():
                logits = casebook.system.label_logits(torch.from_numpy(np.ascontiguousarray(vectors)))
            assert logits is not None, "the manifest says that there is a classifier"
            return logits[:, columns].double().numpy()

        return classified
    train = np.flatnonzero((casebook.column("split") == "train") & casebook.has_vector("image"))
    held = casebook.vectors("image")[train].astype(np.float32)
    labels = label_matrix(casebook.table.column("labels"), names)[train]

    def voted(vectors: Vectors) -> NDArray[np.float64]:
        return vote(vectors @ held.T, labels, record.vote_neighbours, record.temperature_of("image")).probabilities

    return voted


def _findings(casebook: Casebook, studies: Studies, score: Score) -> None:
    patients = [casebook.patient_ids[row] for row in studies.rows.tolist()]
    weights = resampled_weights(len(studies.rows), groups=patients)
    aurocs = {name: _aurocs(score(vectors), studies, weights) for name, vectors in studies.vectors.items()}
    gain = aurocs["all films"] - aurocs["frontal film"]
    counts = studies.truth.sum(axis=0)
    enough = counts >= FEWEST
    print(f"{'finding':<26} {'n':>4}  frontal  lateral  all films  all films - frontal film (95 %)")
    for column in np.argsort(-counts, kind="stable").tolist():
        name, count = studies.names[column], int(counts[column])
        if not enough[column]:
            print(f"{name:<26} {count:>4}  too few to say")
            continue
        values = "  ".join(f"{aurocs[one][0, column]:>7.3f}" for one in aurocs)
        print(f"{name:<26} {count:>4}  {values}    {_with_interval(gain[:, column])}")
    means = {name: mean_of_defined(found[:, enough]) for name, found in aurocs.items()}
    values = "  ".join(f"{mean[0]:>7.3f}" for mean in means.values())
    print(f"{f'mean of {int(enough.sum())} findings':<26} {'':>4}  {values}    ", end="")
    print(_with_interval(means["all films"] - means["frontal film"]))


def _aurocs(scores: NDArray[np.float64], studies: Studies, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """AUROC of each finding under each weighting, [1 + B, C]."""
    return np.stack(
        [
            auroc_and_ap(scores[:, column], studies.truth[:, column], weights * studies.known[:, column])[0]
            for column in range(len(studies.names))
        ],
        axis=1,
    )


def _retrieval(casebook: Casebook, films: FilmTable, studies: Studies) -> None:
    labels, split = casebook.label_matrix, casebook.column("split")
    asked = np.flatnonzero(labels[studies.rows].any(axis=1))
    train = np.flatnonzero((split == "train") & casebook.has_vector("image"))
    laterals = np.flatnonzero(films.is_lateral & (split == "train")[films.rows])
    cases = train, casebook.vectors("image")[train].astype(np.float32)
    ways = {
        "frontal film among cases": ("frontal film", *cases),
        "all films among cases": ("all films", *cases),
        "lateral among cases": ("lateral", *cases),
        "lateral among laterals": ("lateral", films.rows[laterals], films.vectors[laterals].astype(np.float32)),
    }
    own = labels[studies.rows[asked]].astype(np.float32)
    weights = resampled_weights(len(asked), groups=[casebook.patient_ids[row] for row in studies.rows[asked].tolist()])
    print(f"\nof the {NEAREST} nearest training cases, share that have a label of the study in common (95 %)")
    print(f"{len(asked)} studies; chance {float((own @ labels[train].T > 0).mean()):.3f}")
    for name, (with_what, rows, vectors) in ways.items():
        nearest = np.argsort(-(studies.vectors[with_what][asked] @ vectors.T), axis=1, kind="stable")
        shares = np.empty(len(asked))
        for query, order in enumerate(nearest):
            found = rows[order]
            once = found[np.sort(np.unique(found, return_index=True)[1])][:NEAREST]
            shares[query] = (labels[once].astype(np.float32) @ own[query] > 0).mean()
        print(f"{name:<26} {_with_interval(weights @ shares / weights.sum(axis=1), signed=False)}")


def _told_views(casebook: Casebook) -> None:
    check = casebook.film_check
    if check is None or check.views is None:
        return
    shares: dict[int, list[float]] = {0: [], 1: [], -1: []}
    for film in range(len(check.rows)):
        share = check.lateral_share(check.references[film], check.rows == check.rows[film])
        if share is not None:
            shares[int(check.views[film])].append(share)
    print(f"\nview by likeness, of {len(check.rows):,} films, each with its own study left out")
    for view, name in ((0, "frontal films"), (1, "laterals"), (-1, "view unknown")):
        found = np.array(shares[view])
        if len(found):
            lateral, frontal = float((found >= LATERAL_FROM).mean()), float((found <= FRONTAL_UP_TO).mean())
            print(
                f"{name:<26} n {len(found):>5}  called frontal {frontal:.3f}  lateral {lateral:.3f}  "
                f"neither {1 - lateral - frontal:.3f}"
            )


@torch.inference_mode()
def _joint(casebook: Casebook, films: FilmTable, studies: Studies) -> None:
    """Three ways to join a study's films with its report, on the validation part."""
    system = casebook.system
    texts = [system.read(casebook.case(casebook.case_ids[row])).strip() for row in studies.rows.tolist()]
    kept = np.array([bool(text) for text in texts])
    vectors: dict[str, list[NDArray[np.float32]]] = {"primary film": [], "vector of all": [], "tokens of all": []}
    rows = studies.rows[kept]
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        words = system.encode_texts([texts[np.flatnonzero(studies.rows == row)[0]] for row in part.tolist()])
        own = [np.flatnonzero(films.rows == row) for row in part.tolist()]
        second = [int(one[films.is_lateral[one]][0]) for one in own]
        first = _encoded(casebook, films, [int(one[0]) for one in own])
        other = _encoded(casebook, films, second)
        total = torch.nn.functional.normalize(first.vector + other.vector, dim=-1)
        tokens, mask = torch.cat([first.tokens, other.tokens], 1), torch.cat([first.mask, other.mask], 1)
        for name, image in (
            ("primary film", first),
            ("vector of all", Encoding(first.tokens, first.mask, total)),
            ("tokens of all", Encoding(tokens, mask, total)),
        ):
            vectors[name].append(system.join(image, words).float().numpy())
    joined = {name: np.concatenate(parts) for name, parts in vectors.items()}
    asked = Studies(rows, studies.names, studies.truth[kept], studies.known[kept], joined)
    weights = resampled_weights(len(rows), groups=[casebook.patient_ids[row] for row in rows.tolist()])
    score = _score(casebook, studies.names)
    enough = asked.truth.sum(axis=0) >= FEWEST
    aurocs = {name: mean_of_defined(_aurocs(score(one), asked, weights)[:, enough]) for name, one in joined.items()}
    train = np.flatnonzero((casebook.column("split") == "train") & casebook.has_vector("joint"))
    held, labels = casebook.vectors("joint")[train].astype(np.float32), casebook.label_matrix
    print(f"\njoint vectors, validation part: {len(rows)} studies with a report, {int(enough.sum())} findings")
    for name, one in joined.items():
        nearest = np.argsort(-(one @ held.T), axis=1, kind="stable")[:, :NEAREST]
        shared = np.einsum("qc,qkc->qk", labels[rows].astype(int), labels[train][nearest].astype(int)) > 0
        shares = shared.mean(axis=1)
        print(
            f"{name:<26} AUROC {aurocs[name][0]:.3f}, gain {_with_interval(aurocs[name] - aurocs['primary film'])}; "
            f"P@{NEAREST} {_with_interval(weights @ shares / weights.sum(axis=1), signed=False)}"
        )


def _encoded(casebook: Casebook, films: FilmTable, numbers: list[int]) -> Encoding:
    system = casebook.system
    inputs = [system.prepare(casebook.film(films.references[number].as_py()).pixels) for number in numbers]
    encoding = system.encode_images(torch.from_numpy(np.stack(inputs)))
    return Encoding(encoding.tokens.float(), encoding.mask, encoding.vector.float())


def _with_interval(values: NDArray[np.float64], *, signed: bool = True) -> str:
    found = interval(values)
    sign = "+" if signed else ""
    ends = "" if found is None else f" ({found[0]:{sign}.3f} to {found[1]:{sign}.3f})"
    return f"{values[0]:{sign}.3f}{ends}"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {Path(__file__).name} CASEBOOK [--joint]")
    main(Path(sys.argv[1]), joint="--joint" in sys.argv[2:])
