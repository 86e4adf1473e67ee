"""What systems are trained on: films, texts and labels of one or several datasets, side by side."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from index_builder.casebook.manifest import UnreadableFilm
from index_builder.cases.case import Case, Split
from index_builder.datasets import is_drawn, open_dataset
from index_builder.datasets.base import Dataset
from index_builder.datasets.unreadable import without_unreadable
from index_builder.errors import DatasetError
from index_builder.systems.base import Batch, RetrievalSystem
from index_builder.training.augment import View, fixed_views, moved, strong_view, weak_view
from index_builder.training.copies import left_out_copies
from index_builder.training.films import CELLS, Progress, decode_films
from index_builder.training.meaning import decided, meaning, undecided
from index_builder.training.queries import QueryMaker

_POOL = 8


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset to train on.

    Attributes:
        kind: A name of `index_builder.datasets.dataset_names`.
        root: Its folder, where it needs one.
        seed: What phantoms are drawn from.
    """

    kind: str
    root: Path | None = None
    seed: int = 0

    @classmethod
    def parse(cls, expression: str) -> Source:
        """Read "nih=/data/nih", "openi" or "phantom-openi=1" (drawn from seed 1).

        Raises:
            DatasetError: The seed of a phantom is not a number.
        """
        kind, _, rest = expression.partition("=")
        if not rest:
            return cls(kind)
        if is_drawn(kind):
            if not rest.isdecimal():
                raise DatasetError(f"{expression!r}: {kind} is drawn from a seed. Give a number, e.g. {kind}=1.")
            return cls(kind, seed=int(rest))
        return cls(kind, Path(rest))

    def open(self) -> Dataset:
        """The dataset's reader. Raises `DatasetError` as `open_dataset` does."""
        return open_dataset(self.kind, self.root, self.seed)


@dataclass(frozen=True, slots=True)
class Example:
    """One case to train on or to validate with.

    Attributes:
        film: Row of its film in the films array; None: no film.
        texts: Wordings the system may read of it, e.g. its report and its codes.
        labels: [C] float32.
        known: [C] bool, labels its dataset decides and that are not unknown of this case.
        group: Number of its dataset.
        split: "train" or "val".
        patient: Whose it is; patients of two datasets are never one.
        regions: [R, R] uint8 by column of the label: where its finding lies on the film, see `DecodedFilms`; None where
            the dataset does not tell.
    """

    film: int | None
    texts: tuple[str, ...]
    labels: NDArray[np.float32]
    known: NDArray[np.bool_]
    group: int
    split: Split
    patient: str = ""
    regions: Mapping[int, NDArray[np.uint8]] | None = None


@dataclass(frozen=True, slots=True)
class TrainingCases:
    """All examples with their films.

    Attributes:
        examples: Training and validation cases; test cases are never read.
        films: [F, S, S] uint8, a memory map.
        groups: Dataset name of each group number.
        label_names: The C labels.
        origin: Digest of where the cases come from (sources, folders, seeds) and which they are.
        unreadable: Films that could not be decoded, and that are gone on without.
        queries: Makes the typed queries of a batch; None where the system does not learn from any.
        copies: Films left out because another source holds a copy that is not for training.
    """

    examples: list[Example]
    films: NDArray[np.uint8]
    groups: tuple[str, ...]
    label_names: tuple[str, ...]
    origin: str
    unreadable: tuple[UnreadableFilm, ...] = ()
    queries: QueryMaker | None = None
    copies: int = 0

    def of(self, split: Split) -> list[Example]:
        """Examples of one part."""
        return [example for example in self.examples if example.split == split]

    def batch(
        self,
        examples: Sequence[Example],
        generator: torch.Generator | None = None,
        *,
        strong: bool = False,
        views: int = 0,
        view: View = weak_view,
    ) -> Batch:
        """Put examples together; augmented by `generator`, as they are without one.

        Args:
            examples: Which.
            generator: Draws the wording of each text, the view of each film and typed queries.
            strong: Add a strong view.
            views: Views of each film to draw from; 0: a new one each time.
            view: Makes the views.
        """
        size = self.films.shape[-1]
        films = torch.zeros(len(examples), size, size)
        has_film = torch.tensor([example.film is not None for example in examples])
        rows = [example.film for example in examples if example.film is not None]
        if rows:
            films[has_film] = torch.from_numpy(self.films[rows].astype(np.float32) / 255)
        second, motion, queries = None, None, None
        texts = [example.texts[0] if example.texts else "" for example in examples]
        if generator is not None:
            given = films.clone()
            motion = torch.zeros(len(examples), 2, 3)
            if views:
                films[has_film], motion[has_film] = fixed_views(given[has_film], rows, views, view, generator)
            else:
                films, motion = view(given, generator)
            if strong:
                second = torch.zeros_like(given)
                second[has_film], _ = (
                    fixed_views(given[has_film], rows, views, strong_view, generator, salt=1)
                    if views
                    else strong_view(given[has_film], generator)
                )
            texts = [_pick(example.texts, generator) for example in examples]
            if self.queries is not None:
                reports = [example.texts[0] if example.texts else "" for example in examples]
                queries = self.queries.make(reports, generator)
        return Batch(
            films=films,
            strong=second,
            has_film=has_film,
            texts=texts,
            labels=torch.from_numpy(np.stack([example.labels for example in examples])),
            known=torch.from_numpy(np.stack([example.known for example in examples])),
            group=torch.tensor([example.group for example in examples]),
            regions=_regions_of(examples, motion),
            queries=queries,
        )

    def batches(
        self,
        split: Split,
        size: int,
        generator: torch.Generator | None = None,
        *,
        strong: bool = False,
        views: int = 0,
        view: View = weak_view,
    ) -> Iterator[Batch]:
        """All batches of a part: shuffled and augmented by `generator`, in order and as they are without one.

        Shuffled batches hold texts of like length, which halves the text encoder's work.
        """
        examples = self.of(split)
        for rows in batch_rows(
            [len(example.texts[0]) if example.texts else 0 for example in examples], size, generator
        ):
            yield self.batch([examples[row] for row in rows], generator, strong=strong, views=views, view=view)


def batch_rows(lengths: Sequence[int], size: int, generator: torch.Generator | None) -> list[list[int]]:
    """Rows of each batch: in order without a generator; else random, with texts of like length together."""
    if generator is None:
        return [list(range(start, min(start + size, len(lengths)))) for start in range(0, len(lengths), size)]
    order = torch.randperm(len(lengths), generator=generator).tolist()
    batches: list[list[int]] = []
    for start in range(0, len(order), size * _POOL):
        pool = sorted(order[start : start + size * _POOL], key=lambda row: lengths[row])
        batches += [pool[first : first + size] for first in range(0, len(pool), size)]
    return [batches[number] for number in torch.randperm(len(batches), generator=generator).tolist()]


def gather(
    sources: Sequence[Source],
    system_type: type[RetrievalSystem],
    image_size: int,
    films_file: Path,
    progress: Progress,
    *,
    fraction: float = 1.0,
    seed: int = 0,
    with_regions: bool = False,
    with_queries: bool = False,
    skip_unreadable: bool = False,
    label_names: Sequence[str] = (),
    training_films: bool = True,
) -> TrainingCases:
    """Read the training and validation cases of all sources and decode their films once.

    Every film of a study is trained on, each as a case of its own with the study's report and labels; validated is the
    primary film. Left out of training are films of which another source holds a copy that is not for training.

    Args:
        sources: Datasets; of one named twice (phantoms of two seeds) the second lends its training films alone: its
            texts are the same, and it is not validated on.
        system_type: Says which texts of a case are read.
        image_size: Edge of the films.
        films_file: Where the decoded films are kept while training; taken as it is if it holds these very films.
        progress: Called as films are decoded.
        fraction: Share of each dataset's training cases to use, drawn by `seed`; validation is always whole.
        seed: Seed of that draw.
        with_regions: Ask of drawn films where their findings lie, which draws them once more.
        with_queries: Make typed queries of the cases' reports.
        skip_unreadable: Go on without films that cannot be decoded, see `unreadable.without_unreadable`.
        label_names: Labels that are known before, in front of those of the sources.
        training_films: Decode the films for training; False: training examples are only counted.

    Raises:
        DatasetError: A source cannot be read, or there is nothing to train on.
        ImagingError: A film cannot be decoded.
    """
    datasets = [source.open() for source in sources]
    label_names = tuple(dict.fromkeys((*label_names, *vocabulary(datasets))))
    groups = tuple(dict.fromkeys(dataset.card.name for dataset in datasets))
    kept: list[tuple[Dataset, Case]] = []
    firsts = _first_of_each_name(datasets)
    for dataset in datasets:
        whole = any(dataset is first for first in firsts)
        kept += [(dataset, case) for case in _chosen(dataset, fraction, seed) if case.split == "train" or whole]
    copies = left_out_copies(datasets, films_file, progress)
    kept = [(dataset, case) for dataset, case in kept if (dataset.card.name, case.image) not in copies]
    kept = [(dataset, view) for dataset, case in kept for view in _views(case)]
    if not training_films:
        kept = [(dataset, case.with_films(()) if case.split == "train" else case) for dataset, case in kept]
    _require_training([case for _, case in kept])
    origin = _origin(sources, [case for _, case in kept], image_size)
    decoded = decode_films(
        kept,
        image_size,
        films_file,
        origin,
        progress,
        with_regions=with_regions,
        skip_unreadable=skip_unreadable,
    )
    filmed = [row for row, (_, case) in enumerate(kept) if case.image is not None]
    reasons = {filmed[place]: [reason] for place, reason in decoded.unreadable.items()}
    # An example has one film: what else its study has are other examples.
    cases, rows, unreadable = without_unreadable([case.with_films(case.films[:1]) for _, case in kept], reasons)
    if unreadable:
        _require_training(cases)
        origin = hashlib.sha256(f"{origin} {sorted(reasons)}".encode()).hexdigest()
    film_of = {row: place for place, row in enumerate(filmed) if row not in reasons}
    column = {name: number for number, name in enumerate(label_names)}
    examples = []
    for row, case in zip(rows.tolist(), cases, strict=True):
        dataset = kept[row][0]
        labels = np.zeros(len(label_names), np.float32)
        labels[[column[label] for label in meaning(dataset, case) if label in column]] = 1
        known = np.isin(label_names, list(decided(dataset) - undecided(case)))
        group = groups.index(dataset.card.name)
        texts = tuple(dict.fromkeys(text for text in system_type.training_texts(case) if text))
        if not any(dataset is first for first in firsts):
            texts = ()  # another draw of the same reports: only its films are new
        place = film_of.get(row)
        drawn = None if place is None else decoded.regions.get(place)
        where = None if drawn is None else _by_column(drawn, labels, dataset, column)
        examples.append(Example(place, texts, labels, known, group, case.split, case.patient_id, where))
    queries = QueryMaker(label_names) if with_queries else None
    return TrainingCases(examples, decoded.films, groups, label_names, origin, unreadable, queries, len(copies))


def _require_training(cases: Sequence[Case]) -> None:
    if not any(case.split == "train" for case in cases):
        raise DatasetError("no training cases in the data given. Add a dataset with a train part.")


def vocabulary(datasets: Sequence[Dataset]) -> tuple[str, ...]:
    """All labels of the datasets in their order, each once."""
    return tuple(dict.fromkeys(name for dataset in datasets for name in dataset.label_names))


def _first_of_each_name(datasets: Sequence[Dataset]) -> list[Dataset]:
    return list({dataset.card.name: dataset for dataset in reversed(datasets)}.values())


def _origin(sources: Sequence[Source], cases: Sequence[Case], image_size: int) -> str:
    places = [(source.kind, str(source.root and source.root.resolve()), source.seed) for source in sources]
    content = [image_size, places, [(case.case_id, case.image) for case in cases]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _by_column(
    found: Mapping[str, NDArray[np.uint8]], labels: NDArray[np.float32], dataset: Dataset, column: Mapping[str, int]
) -> dict[int, NDArray[np.uint8]]:
    """Regions by column of the dataset's labels: empty where absent, left out where carried and not drawn."""
    nowhere = np.zeros((CELLS, CELLS), np.uint8)
    where = {}
    for name in dataset.label_names:
        if not labels[column[name]]:
            where[column[name]] = nowhere
        elif name in found:
            where[column[name]] = found[name]
    return where


def _regions_of(examples: Sequence[Example], motion: Tensor | None) -> Tensor | None:
    """`Batch.regions` of examples whose films were moved by `motion` [B, 2, 3]."""
    if not any(example.regions for example in examples):
        return None
    found = torch.full((len(examples), len(examples[0].labels), CELLS, CELLS), torch.nan)
    for row, example in enumerate(examples):
        if example.regions:
            columns = list(example.regions)
            cells = torch.from_numpy(np.stack(list(example.regions.values()))).float() / 255
            if motion is not None:
                carried = cells.any(-1).any(-1)
                cells = moved(cells, motion[row].expand(len(cells), -1, -1))
                cells[carried & ~cells.any(-1).any(-1)] = torch.nan  # moved off the film, which is not absence
            found[row, columns] = cells
    return found


def _chosen(dataset: Dataset, fraction: float, seed: int) -> list[Case]:
    cases = [case for case in dataset.cases() if case.split != "test"]
    train = [case for case in cases if case.split == "train"]
    if fraction >= 1:
        return cases
    wanted = max(1, round(fraction * len(train)))
    drawn = np.random.default_rng(seed).choice(len(train), wanted, replace=False)
    kept = {train[number].case_id for number in drawn}
    return [case for case in cases if case.split == "val" or case.case_id in kept]


def _views(case: Case) -> list[Case]:
    """A case, and for training as many more as its study has further films: each says what the report says."""
    if case.split != "train":
        return [case]
    further = [
        replace(case, case_id=f"{case.case_id} {film}", image=film, other_images=(), other_views=(), view=None)
        for film in case.other_images
    ]
    return [case, *further]


def _pick(texts: tuple[str, ...], generator: torch.Generator) -> str:
    return texts[int(torch.randint(len(texts), (), generator=generator))] if texts else ""
