"""Fit the lung shape model that the phantoms are drawn from (run once, offline; its result is shipped).

Reads the lung outlines packaged in torchxrayvision (`semantic_masks_v7labs_lungs.zip`: 517 masks, V7 Labs annotations
of public COVID-19 films), places corresponding points on both lungs and keeps the mean and the leading principal
components (Cootes et al., "Active shape models", CVIU 1995). No outline of one person is kept.

    python -m index_builder.datasets.phantom.fit_shapes
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from index_builder.datasets.phantom.anatomy import BASE, LATERAL, MEDIAL
from index_builder.resources import packaged

ARCHIVE = "semantic_masks_v7labs_lungs.zip"
COMPONENTS = 12
#: Masks are reduced to this many rows before points are placed.
HEIGHT = 256


def archive_path() -> Path:
    """The packaged outlines. Raises `InstallationError` when torchxrayvision is not installed with its data."""
    return packaged("torchxrayvision", "data", ARCHIVE)


def lung_points(lung: NDArray[np.bool_], lateral_sign: int) -> NDArray[np.float64] | None:
    """Corresponding points on one lung, apex, lateral edge, diaphragm, mediastinal edge.

    Args:
        lung: [H, W] mask of one lung.
        lateral_sign: -1 when the chest wall is towards smaller x (the patient's right lung), +1 otherwise.

    Returns:
        [LATERAL + BASE + MEDIAL, 2] x, y in pixels, or None when the outline is not a plausible lung.
    """
    ys, xs = np.nonzero(lung)
    rows = np.unique(ys)
    first = np.array([xs[ys == r].min() for r in rows], float)
    last = np.array([xs[ys == r].max() for r in rows], float)
    lateral, medial = (first, last) if lateral_sign < 0 else (last, first)
    lateral, medial = (ndimage.gaussian_filter1d(edge, 2, mode="nearest") for edge in (lateral, medial))
    angle = int(np.argmax(lateral_sign * lateral + rows))  # costophrenic angle: lowest and most lateral
    corner = int(np.argmax(-lateral_sign * medial + 1.5 * rows))  # cardiophrenic angle: lowest and most medial
    if angle < 40 or corner < 40:
        return None
    columns = np.linspace(lateral[angle], medial[corner], BASE + 2)[1:-1]
    lowest = []
    for column in np.round(columns).astype(int):
        inside = np.nonzero(lung[:, np.clip(column, 0, lung.shape[1] - 1)])[0]
        if not len(inside):
            return None
        lowest.append(inside.max())
    # Points crowd towards the apex, where the outline bends most.
    t_lateral = np.linspace(0, 1, LATERAL) ** 1.6 * angle
    t_medial = np.linspace(1, 0, MEDIAL + 1)[:-1] ** 1.6 * corner
    index = np.arange(len(rows))
    return np.concatenate(
        [
            np.stack([np.interp(t_lateral, index, lateral), np.interp(t_lateral, index, rows)], 1),
            np.stack([columns, ndimage.gaussian_filter1d(np.array(lowest, float), 1, mode="nearest")], 1),
            np.stack([np.interp(t_medial, index, medial), np.interp(t_medial, index, rows)], 1),
        ]
    )


def outline_of(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Both lungs of one mask as [2, P, 2] points (image left lung first), unit box width, centred; None: unusable."""
    labelled, count = ndimage.label(mask)
    if count < 2:
        return None
    areas = ndimage.sum_labels(mask, labelled, np.arange(1, count + 1))
    order = np.argsort(areas)[::-1]
    if areas[order[1]] < 0.55 * areas[order[0]]:
        return None
    lungs = sorted(
        (labelled == order[k] + 1 for k in range(2)), key=lambda lung: float(ndimage.center_of_mass(lung)[1])
    )
    box = ndimage.find_objects((lungs[0] | lungs[1]).astype(int))[0]
    height, width = (s.stop - s.start for s in box)
    touches = box[0].start < 2 or box[1].start < 2 or box[1].stop > mask.shape[1] - 2 or box[0].stop > mask.shape[0] - 2
    if touches or not 0.75 < height / width < 1.3:
        return None
    points = [lung_points(lung, sign) for lung, sign in zip(lungs, (-1, 1), strict=True)]
    if points[0] is None or points[1] is None:
        return None
    both = np.stack([points[0], points[1]])
    centre = np.array([(box[1].start + box[1].stop) / 2, (box[0].start + box[0].stop) / 2])
    return (both - centre) / width


def fit(archive: Path) -> dict[str, NDArray[np.float32]]:
    """Mean [2, P, 2], components [K, 2, P, 2] and standard deviations [K] of the usable outlines of the archive."""
    outlines = []
    with zipfile.ZipFile(archive) as bundle:
        for name in sorted(bundle.namelist()):
            if name.endswith("/"):
                continue
            image = Image.open(io.BytesIO(bundle.read(name))).convert("L")
            small = image.resize((max(1, round(image.width * HEIGHT / image.height)), HEIGHT), Image.Resampling.BOX)
            outline = outline_of(np.asarray(small) > 200)
            if outline is not None:
                outlines.append(outline)
    data = np.stack(outlines)
    flat = data.reshape(len(data), -1)
    mean = flat.mean(0)
    # Gross outliers (rotated scans, cut films) would otherwise own the first components.
    distance = np.linalg.norm(flat - mean, axis=1)
    flat = flat[distance < np.quantile(distance, 0.9)]
    mean = flat.mean(0)
    _, singular, rows = np.linalg.svd(flat - mean, full_matrices=False)
    deviation = singular[:COMPONENTS] / np.sqrt(len(flat) - 1)
    kept = 100 * (singular[:COMPONENTS] ** 2).sum() / (singular**2).sum()
    print(f"{len(data)} usable outlines, {len(flat)} kept, {kept:.1f} % of their variance")
    shape = data.shape[1:]
    return {
        "mean": mean.reshape(shape).astype(np.float32),
        "components": rows[:COMPONENTS].reshape(COMPONENTS, *shape).astype(np.float32),
        "deviation": deviation.astype(np.float32),
    }


def main() -> None:
    """Write `lung_shapes.npz` beside this file."""
    np.savez_compressed(Path(__file__).with_name("lung_shapes.npz"), **fit(archive_path()))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
