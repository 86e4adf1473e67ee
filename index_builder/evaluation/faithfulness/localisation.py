"""Does a map point at the finding: masks of drawn films, boxes on real ones, the pointing game and overlap."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from index_builder.cases.case import Case
from index_builder.cases.labels import openi_labels
from index_builder.datasets.base import Dataset
from index_builder.datasets.phantom import PhantomDust, PhantomOpenI
from index_builder.datasets.phantom.mesh_codes import draw_codes
from index_builder.datasets.published.nih import NIH
from index_builder.imaging import InputGeometry, input_geometry
from index_builder.systems.backbones.backbone import package_folder

#: Findings that change the size, shape or texture of an organ; the others add a shadow, line or gap in a place.
DIFFUSE = frozenset(
    {
        "cardiomegaly",
        "pericardial effusion",
        "small opacities",
        "reticulation",
        "emphysema",
        "hyperinflation",
        "hypoinflation",
        "oedema",
        "congestion",
        "prominent markings",
        "hilar enlargement",
        "wide mediastinum",
        "elevated diaphragm",
        "tortuous aorta",
        "osteophytes",
        "scoliosis",
    }
)

#: Tolerance of the pointing game: 15 pixels (Zhang et al., IJCV 2018), here of an input this many pixels wide.
_TOLERANCE, _TOLERANCE_SIZE = 15, 224

#: Pixels on a side of the films that the boxes were drawn on.
_BOXED_SIZE = 1024
#: The one label that the boxes spell differently.
_BOX_LABELS = {"Infiltrate": "Infiltration"}


@dataclass(frozen=True, slots=True)
class Region:
    """Where a label's finding lies.

    Attributes:
        label: Label of the dataset.
        focal: Whether it lies in a place, not in a whole organ.
        mask: [S, S] bool, pixels of the network input that hold any of it.
    """

    label: str
    focal: bool
    mask: NDArray[np.bool_]


def knows_regions(dataset: Dataset) -> bool:
    """Whether `regions` knows any case of a dataset."""
    return isinstance(dataset, PhantomOpenI | PhantomDust | NIH)


def regions(
    dataset: Dataset, case: Case, pixels: NDArray[np.float32], size: int, geometry: InputGeometry | None = None
) -> list[Region]:
    """Where the findings of a case's film lie, by label, as far as the dataset says.

    Exact masks for phantoms. For ChestX-ray14 the boxes that radiologists drew on 880 of its films (Wang et al., CVPR
    2017), as torchxrayvision packages them.

    Args:
        dataset: The case's.
        case: With a film.
        pixels: [H, W] float32, `Film.pixels` of that film.
        size: S.
        geometry: Geometry of the film in the network input; None: that of `imaging.model_input`.
    """
    geometry = geometry or input_geometry(pixels, size)
    found = []
    for label, focal, mask in _on_film(dataset, case, pixels.shape):
        inside = _to_input(mask, geometry, size)
        if inside.any():
            found.append(Region(label, focal, inside))
    return found


def points_at(heat: NDArray[np.floating], mask: NDArray[np.bool_], *, tolerance: int = _TOLERANCE) -> bool:
    """Pointing game: whether the map's maximum lies in the mask or within a tolerance of it.

    Args:
        heat: [S, S].
        mask: [S, S], not empty.
        tolerance: Pixels of an input 224 pixels wide.
    """
    distance = ndimage.distance_transform_edt(~mask)
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    return bool(distance[row, column] <= tolerance * len(heat) / _TOLERANCE_SIZE)


def overlap(heat: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Intersection over union of a mask and as many of the map's highest pixels as the mask has."""
    count = int(mask.sum())
    chosen = np.zeros(heat.size, bool)
    chosen[np.argsort(-heat, axis=None, kind="stable")[:count]] = True
    both = int((chosen & mask.ravel()).sum())
    return both / (2 * count - both)


def nih_boxes() -> dict[str, list[tuple[str, tuple[float, float, float, float]]]]:
    """Case id -> (label, (left, top, width, height) in pixels of a film of 1,024 by 1,024)."""
    found: dict[str, list[tuple[str, tuple[float, float, float, float]]]] = {}
    with gzip.open(package_folder("torchxrayvision", "data") / "BBox_List_2017.csv.gz", "rt", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        for image, label, left, top, width, height, *_ in rows:
            box = (float(left), float(top), float(width), float(height))
            found.setdefault(image.partition(".")[0], []).append((_BOX_LABELS.get(label, label), box))
    return found


def _on_film(dataset: Dataset, case: Case, shape: Sequence[int]) -> list[tuple[str, bool, NDArray[np.bool_]]]:
    """(label, focal, [H, W] mask) of a case's film."""
    if isinstance(dataset, PhantomOpenI):
        names: dict[str, list[str]] = {}
        for drawn in draw_codes(case.codes):
            for label in openi_labels([drawn.code]):
                names.setdefault(label, []).extend(finding.name for finding in drawn.findings)
        return _of_drawn(dataset.masks(str(case.image)), names)
    if isinstance(dataset, PhantomDust):
        masks = dataset.masks(str(case.image))
        dust: list[str] = [name for name in ("small opacities", "mass") if name in masks]
        return _of_drawn(masks, {label: dust for label in case.labels if label != dataset.label_names[0]})
    if isinstance(dataset, NIH):
        rows, columns = shape
        masks = {}
        for label, (left, top, width, height) in nih_boxes().get(case.case_id, ()):
            mask = masks.setdefault(label, np.zeros((rows, columns), bool))
            y, x = rows / _BOXED_SIZE, columns / _BOXED_SIZE
            mask[round(top * y) : round((top + height) * y), round(left * x) : round((left + width) * x)] = True
        return [(label, label != "Cardiomegaly", mask) for label, mask in masks.items()]
    return []


def _of_drawn(
    masks: dict[str, NDArray[np.bool_]], names: dict[str, list[str]]
) -> list[tuple[str, bool, NDArray[np.bool_]]]:
    return [
        (label, DIFFUSE.isdisjoint(drawn), np.any([masks[name] for name in drawn], axis=0))
        for label, drawn in names.items()
        if drawn
    ]


def _to_input(mask: NDArray[np.bool_], geometry: InputGeometry, size: int) -> NDArray[np.bool_]:
    top, left, bottom, right = geometry.crop
    y0, x0, y1, x1 = geometry.paste
    film = Image.fromarray(mask[top:bottom, left:right].astype(np.float32))
    out = np.zeros((size, size), bool)
    out[y0:y1, x0:x1] = np.asarray(film.resize((x1 - x0, y1 - y0), Image.Resampling.BOX)) > 0
    return out
