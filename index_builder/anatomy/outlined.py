"""Films with their structures outlined, to learn from: JSRT, lungs of COVID-19 films, phantoms; and films with none.

Sources:
    JSRT outlines: van Ginneken, Stegmann and Loog, "Segmentation of anatomical structures in chest radiographs using
    supervised methods: a comparative study on a public database", Medical Image Analysis 10 (2006).
    Lungs of COVID-19 films: V7 Labs, as packaged in torchxrayvision.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from index_builder.anatomy.structures import HEART, LEFT_CLAVICLE, LEFT_LUNG, RIGHT_CLAVICLE, RIGHT_LUNG, STRUCTURES
from index_builder.cases.case import Split
from index_builder.errors import DatasetError
from index_builder.imaging import InputGeometry, input_geometry, model_input

#: Film and masks are kept at this side, larger than the network's input, so that views may enlarge them.
KEPT_SIDE = 256
#: A film as like its mirror image as that is a frontal one; five of Open-i's 108 laterals are.
_SYMMETRIC = 0.9
#: Of the lungs' height, from the top: clavicles lie no lower.
_UPPER = 0.45


@dataclass(frozen=True, slots=True)
class OutlinedFilm:
    """One film to learn from or to measure on.

    Attributes:
        name: Name of the film.
        pixels: [K, K] float32 in 0..1, of `model_input`.
        masks: [5, K, K] bool, structures on the same grid.
        known: [5] bool: which of the masks outline their structure; of another, nothing is known.
        hull: Whether the masks of the lungs are hulls: the lung, and whatever part of the heart lies before it. What
            is not known then has as its mask the region that it cannot leave.
    """

    name: str
    pixels: NDArray[np.float32]
    masks: NDArray[np.bool_]
    known: NDArray[np.bool_]
    hull: bool = False


def outlined(name: str, pixels: NDArray[np.float32], masks: NDArray[np.bool_], hull: bool = False) -> OutlinedFilm:
    """Lay a film [H, W] and its masks [5, H, W] out on the grid; an empty mask is unknown.

    A film none of whose structures is outlined says nothing; for one that shows none, see `without_structures`.
    """
    geometry = input_geometry(pixels, KEPT_SIDE)
    laid = np.stack([laid_out(mask, geometry, KEPT_SIDE) for mask in masks])
    return OutlinedFilm(name, model_input(pixels, KEPT_SIDE), laid, np.asarray(masks.any(axis=(1, 2))), hull)


def without_structures(name: str, pixels: NDArray[np.float32]) -> OutlinedFilm:
    """A film [H, W] on which nothing is to be outlined, such as a lateral."""
    nothing = np.zeros((len(STRUCTURES), KEPT_SIDE, KEPT_SIDE), bool)
    return OutlinedFilm(name, model_input(pixels, KEPT_SIDE), nothing, np.ones(len(STRUCTURES), bool))


def laid_out(mask: NDArray[np.bool_], geometry: InputGeometry, size: int) -> NDArray[np.bool_]:
    """A mask [H, W] of a film's own pixels on the network's grid, [size, size]."""
    top, left, bottom, right = geometry.crop
    y0, x0, y1, x1 = geometry.paste
    cut = Image.fromarray(np.ascontiguousarray(mask[top:bottom, left:right], np.float32))
    canvas = np.zeros((size, size), bool)
    canvas[y0:y1, x0:x1] = np.asarray(cut.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR)) > 0.5
    return canvas


def jsrt_masks(root: Path, case_id: str) -> NDArray[np.bool_]:
    """Outlines of a JSRT film, [5, H, W]: `masks/CASE.png` holds structure n as bit n.

    Raises:
        DatasetError: The file is missing or no picture.
    """
    path = root / "masks" / f"{case_id}.png"
    try:
        with Image.open(path) as image:
            bits = np.asarray(image.convert("L"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error}). Put the outlines of film {case_id} there.") from None
    return np.stack([bits & (1 << number) > 0 for number in range(len(STRUCTURES))])


def jsrt_films(root: Path, split: Split) -> Iterator[OutlinedFilm]:
    """JSRT films of one part."""
    from index_builder.datasets.published.jsrt import JSRT

    dataset = JSRT(root)
    for case in dataset.cases():
        if case.split == split and case.image is not None:
            pixels = dataset.load_film(case.image).pixels
            yield outlined(case.case_id, pixels, _fitting(jsrt_masks(root, case.case_id), pixels))


def covid_films(root: Path, split: Split) -> Iterator[OutlinedFilm]:
    """Frontal films of the COVID-19 collection of which torchxrayvision packages lung outlines, both lungs apart.

    Those outlines run on behind most of the heart.
    """
    from index_builder.datasets.phantom.fit_shapes import archive_path
    from index_builder.datasets.published.covid import Covid

    dataset = Covid(root)
    with zipfile.ZipFile(archive_path()) as bundle:
        names = {PurePosixPath(name).stem: name for name in bundle.namelist()}
        for case in dataset.cases():
            name = names.get(PurePosixPath(case.image or "").stem)
            if case.split != split or case.image is None or name is None:
                continue
            with Image.open(io.BytesIO(bundle.read(name))) as image:
                lungs = _two_lungs(np.asarray(image.convert("L")) > 127)
            if lungs is None:
                continue
            pixels = dataset.load_film(case.image).pixels
            masks = np.zeros((len(STRUCTURES), *lungs.shape[1:]), bool)
            masks[[RIGHT_LUNG, LEFT_LUNG]] = lungs
            yield _bounded(outlined(case.case_id, pixels, _fitting(masks, pixels), hull=True))


def phantom_films(count: int, seed: int) -> Iterator[OutlinedFilm]:
    """Computer-drawn films of Open-i reports of the training part, with heart and lungs as they were drawn.

    The lungs run on behind heart and vessels.
    """
    from index_builder.datasets.phantom import PhantomOpenI

    cohort = PhantomOpenI(seed)
    for case in [case for case in cohort.cases() if case.split == "train"][:count]:
        drawn_film = cohort.drawn(case.case_id)
        masks = np.zeros((len(STRUCTURES), *drawn_film.pixels.shape), bool)
        for number, name in enumerate(STRUCTURES):
            if name in drawn_film.anatomy:
                masks[number] = drawn_film.anatomy[name]
        yield _bounded(outlined(case.case_id, drawn_film.pixels, masks, hull=True))


def lateral_films(root: Path, count: int) -> Iterator[OutlinedFilm]:
    """Lateral films of Open-i's training part: nothing is to be outlined on them."""
    from index_builder.datasets.published.openi import OpenI

    dataset = OpenI(root)
    laterals = [case.image for case in dataset.cases() if case.split == "train" and case.view == "LATERAL"]
    for reference in [one for one in laterals if one is not None][:count]:
        film = without_structures(reference, dataset.load_film(reference).pixels)
        if _symmetry(film.pixels) < _SYMMETRIC:
            yield film


def _symmetry(pixels: NDArray[np.float32]) -> float:
    """Correlation of a film with its mirror image, the best of small shifts."""
    small = pixels[::8, ::8]
    mirrored = small[:, ::-1]
    return max(float(np.corrcoef(small.ravel(), np.roll(mirrored, shift, 1).ravel())[0, 1]) for shift in range(-3, 4))


def _bounded(film: OutlinedFilm) -> OutlinedFilm:
    """Bound what is not known by the lungs: the heart lies in their convex hull, the clavicles across its upper part.

    Without bounds a network that learns hearts on few collections finds them all around the lungs of the others.
    """
    from skimage.morphology import convex_hull_image

    lungs = film.masks[RIGHT_LUNG] | film.masks[LEFT_LUNG]
    rows = np.flatnonzero(lungs.any(axis=1))
    height = rows[-1] + 1 - rows[0]
    upper = np.arange(len(lungs)) < rows[0] + _UPPER * height
    bounds = np.zeros_like(film.masks)
    bounds[HEART] = convex_hull_image(lungs)
    bounds[[RIGHT_CLAVICLE, LEFT_CLAVICLE]] = upper[:, None]
    return replace(film, masks=np.where(film.known[:, None, None], film.masks, bounds))


def _two_lungs(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Both lungs of one mask [H, W] as [2, H, W], the left one of the picture first; None where they touch."""
    labelled, count = ndimage.label(mask)
    if count < 2:
        return None
    areas = ndimage.sum_labels(mask, labelled, np.arange(1, count + 1))
    order = np.argsort(areas)[::-1][:2] + 1
    if areas[order[1] - 1] < 0.25 * areas[order[0] - 1]:
        return None
    first, second = sorted(order, key=lambda one: float(ndimage.center_of_mass(labelled == one)[1]))
    return np.stack([labelled == first, labelled == second])


def _fitting(masks: NDArray[np.bool_], pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Masks brought to the size of their film."""
    rows, columns = pixels.shape
    if masks.shape[1:] == pixels.shape:
        return masks
    resized: Sequence[NDArray] = [
        np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize((columns, rows), Image.Resampling.BILINEAR))
        for mask in masks
    ]
    return np.stack(resized) > 127
