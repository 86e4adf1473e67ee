"""What explanations are asked for when they are measured: findings of cases, and likeness with a neighbour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from index_builder.cases.case import Case
from index_builder.cases.space import Space
from index_builder.datasets.base import Dataset, LocatesFindings
from index_builder.errors import DatasetError
from index_builder.evaluation.embedding import embed_modality, whole
from index_builder.evaluation.faithfulness.localisation import Region, regions
from index_builder.evaluation.prediction import has_classifier
from index_builder.evaluation.task import Part
from index_builder.explanation import FindingTarget, Inputs, SimilarityTarget, Target, Voters
from index_builder.progress import Progress
from index_builder.systems.base import RetrievalSystem

#: Training cases that vote where there is no classifier, and among which each case has its nearest neighbour.
BASE = 400


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """An explanation to be asked for.

    Attributes:
        patient: Patient of the case.
        label: What is explained; "" for the likeness with the nearest training case.
        inputs: The case.
        target: The label, or that case.
        electorate: Where there is no classifier, the cases among which the nearest vote on the label; `target` holds
            those nearest to the whole case.
        region: Where the label's finding lies; None where that is not known.
    """

    patient: str
    label: str
    inputs: Inputs
    target: Target
    region: Region | None
    electorate: Voters | None = None


@dataclass(frozen=True, slots=True)
class _Base:
    """Training cases: patients, [N, D] float32 vectors, L2-normalised, and the cases themselves."""

    patients: NDArray[np.str_]
    vectors: NDArray[np.float32]
    cases: list[Case]


def draw_questions(
    system: RetrievalSystem,
    dataset: Dataset,
    modality: Space,
    *,
    split: Part,
    limit: int | None,
    seed: int,
    progress: Progress,
) -> list[list[Question]]:
    """Questions by case.

    Of each case every label is asked that the system knows, and for what the case is like its nearest training case.
    Where a film is read whose findings' places the dataset knows, only labels of known place are asked.

    Args:
        system: In evaluation mode.
        dataset: Its training part gives voters and neighbours.
        modality: What is read of a case.
        split: Part whose cases are asked.
        limit: Cases, drawn by the seed; None: all.
        seed: Seed of the draws.
        progress: Called as cases are read.

    Raises:
        DatasetError: No case to ask.
        ImagingError: A film cannot be decoded.
    """
    cases = [case for case in sorted(dataset.cases(), key=lambda case: case.case_id) if case.is_coded]
    cases = [case for case in cases if _holds(system, case, modality)]
    random = np.random.default_rng(seed)
    cases = [cases[row] for row in random.permutation(len(cases))]
    train = [case for case in cases if case.split == "train"][:BASE]
    asked = [case for case in cases if split in ("all", case.split)]
    located = modality != "text" and isinstance(dataset, LocatesFindings)
    if not train:
        raise DatasetError(f"{dataset.card.name}: no train case with {modality}. Give a dataset that has some.")
    vectors = whole(embed_modality(system, dataset, train, modality, progress).spaces[modality])
    base = _Base(np.array([case.patient_id for case in train]), vectors, train)
    found: list[list[Question]] = []
    for number, case in enumerate(asked, start=1):
        if questions := _questions(system, dataset, case, modality, base, located=located):
            found.append(questions)
        progress("Reading cases", number, len(asked))
        if len(found) == limit:
            break
    if not found:
        raise DatasetError(
            f"{dataset.card.name}: no {split} case with {modality} carries a label that the system knows"
            + (" and whose place is known" if located else "")
            + ". Give another dataset, --split or --modality."
        )
    return found


def _holds(system: RetrievalSystem, case: Case, modality: Space) -> bool:
    has_film, has_text = case.image is not None, bool(system.read(case))
    return {"image": has_film, "text": has_text, "joint": has_film and has_text}[modality]


def _questions(
    system: RetrievalSystem, dataset: Dataset, case: Case, modality: Space, base: _Base, *, located: bool
) -> list[Question]:
    known = system.config.label_names
    labels: dict[str, Region | None] = {label: None for label in case.labels if label in known}
    film = None
    if modality != "text":
        pixels = dataset.load_film(str(case.image)).pixels
        if located:
            found = regions(dataset, case, pixels, system.config.image_size, system.geometry(pixels))
            labels = {one.label: one for one in found if one.label in known}
        film = system.prepare(pixels)
    if not labels:
        return []
    inputs = Inputs(film, "" if modality == "image" else system.read(case))
    cosines = base.vectors @ _vector(system, inputs)
    # A film of the same patient would be no neighbour in search either.
    cosines[base.patients == case.patient_id] = -np.inf
    nearest = np.argsort(-cosines, kind="stable")
    others = nearest[: np.count_nonzero(base.patients != case.patient_id)]
    votes = not has_classifier(system)
    temperature = system.config.temperature_of(modality)
    asked: list[Question] = []
    for label, region in labels.items():
        voters = electorate = None
        if votes:
            heard = [row for row in others if label not in base.cases[row].unknown] or list(others)
            carries = np.array([label in base.cases[row].labels for row in heard])
            electorate = Voters(base.vectors[heard], carries, temperature)
            count = system.config.vote_neighbours
            voters = Voters(electorate.vectors[:count], carries[:count], temperature)
        asked.append(Question(case.patient_id, label, inputs, FindingTarget(label, voters), region, electorate))
    return [*asked, Question(case.patient_id, "", inputs, SimilarityTarget(base.vectors[nearest[0]]), None)]


@torch.inference_mode()
def _vector(system: RetrievalSystem, inputs: Inputs) -> NDArray[np.float32]:
    device = next(system.parameters()).device
    image = None if inputs.film is None else system.encode_images(torch.from_numpy(inputs.film)[None].to(device))
    text = system.encode_texts([inputs.text]) if inputs.text else None
    if image is not None and text is not None:
        vector = system.join(image, text)
    else:
        one = image if image is not None else text
        assert one is not None, "a case has what its modality names"
        vector = one.vector
    return vector[0].float().cpu().numpy()
