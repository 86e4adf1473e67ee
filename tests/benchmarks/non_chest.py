"""Images that are no chest films: from test data of installed packages, drawn figures, text, noise, drawn limbs.

`non_chest_images()` gives (kind, name, pixels); pixels as `Film.pixels`. Packages that are not installed are left out.
The limbs are synthetic: soft tissue and bones of a few cylinders, attenuated as in a radiograph.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from index_builder.errors import ImagingError
from index_builder.imaging import decode_film, model_input

Named = tuple[str, str, np.ndarray]

#: Smaller images are test patterns of a decoder; nobody could tell what they show.
_SMALLEST = 45
#: Two images alike to this correlation are one image stored twice.
_SAME = 0.98

_PHOTOS = (
    ("sklearn", "datasets/images", "*.jpg"),
    ("skimage", "data", "*.png"),
    ("skimage", "data", "*.jpg"),
    ("matplotlib", "mpl-data/sample_data", "*.png"),
    ("matplotlib", "mpl-data/sample_data", "*.jpg"),
)
_DRAWN_EACH = 12


def non_chest_images() -> list[Named]:
    """All of them, copies left out, in a fixed order."""
    kept: list[Named] = []
    signatures: list[np.ndarray] = []
    for kind, name, pixels in _all_images():
        if min(pixels.shape) < _SMALLEST:
            continue
        small = model_input(pixels, 32).ravel()
        small -= small.mean()
        small /= np.linalg.norm(small) or 1.0
        if any(float(small @ other) >= _SAME for other in signatures):
            continue
        signatures.append(small)
        kept.append((kind, name, pixels))
    return kept


def _all_images() -> Iterator[Named]:
    yield from _photographs()
    yield from _faces()
    yield from _scans()
    random = np.random.default_rng(0)
    for number in range(_DRAWN_EACH):
        yield "drawn figure", f"chart {number}", _chart(random)
        yield "text page", f"page {number}", _page(random)
        yield "drawn limb", f"limb {number}", _limb(random)
        yield "drawn limb", f"hand {number}", _hand(random)
        yield "noise", f"noise {number}", _noise(random, 0.5 * number)
    for side in ("horizontal", "vertical", "round"):
        yield "drawn figure", f"{side} ramp", _ramp(side)
    for level in (0.0, 0.5, 1.0):
        yield "blank", f"level {level}", np.full((256, 256), level, np.float32)


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _photographs() -> Iterator[Named]:
    for package, folder, pattern in _PHOTOS:
        base = _package(package)
        for path in sorted((base / folder).glob(pattern)) if base else ():
            with Image.open(path) as image:
                flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
            yield "photo or picture", path.name, np.asarray(flat.convert("L"), np.float32) / 255


def _faces() -> Iterator[Named]:
    base = _package("skimage")
    if base is None:
        return
    for number, face in enumerate(np.load(base / "data" / "lfw_subset.npy", allow_pickle=False)[:100:8]):
        large = Image.fromarray(np.asarray(face, np.float32)).resize((200, 200), Image.Resampling.BICUBIC)
        yield "photo or picture", f"lfw_subset {number}", np.asarray(large, np.float32).clip(0, 1)


def _scans() -> Iterator[Named]:
    base = _package("pydicom")
    for path in sorted((base / "data" / "test_files").rglob("*")) if base else ():
        if path.is_file():
            try:
                film = decode_film(path.read_bytes(), name=path.name)
            except ImagingError:
                continue
            yield "CT, MR, NM, US or colour DICOM", path.name, film.pixels
    base = _package("matplotlib")
    if base is not None:
        with gzip.open(base / "mpl-data" / "sample_data" / "s1045.ima.gz") as stream:
            slice_ = np.frombuffer(stream.read(), np.uint16).reshape(256, 256).astype(np.float32)
        yield "CT, MR, NM, US or colour DICOM", "s1045.ima", slice_ / slice_.max()


def _chart(random: np.random.Generator) -> np.ndarray:
    dark = bool(random.integers(2))
    image = Image.new("L", (480, 400), 0 if dark else 255)
    draw = ImageDraw.Draw(image)
    ink = 255 if dark else 0
    draw.line([(50, 20), (50, 360), (460, 360)], fill=ink, width=3)
    kind = int(random.integers(3))
    if kind == 0:
        for bar in range(8):
            top = int(random.integers(40, 340))
            draw.rectangle([70 + 48 * bar, top, 100 + 48 * bar, 360], fill=int(random.integers(60, 200)))
    elif kind == 1:
        for _ in range(3):
            heights = 200 + np.cumsum(random.normal(0, 20, 40))
            draw.line([(50 + 10 * x, float(y)) for x, y in enumerate(heights)], fill=ink, width=2)
    else:
        for _ in range(14):
            x, y, radius = random.integers(60, 440), random.integers(40, 340), random.integers(6, 60)
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=ink, width=3)
    return np.asarray(image, np.float32) / 255


def _page(random: np.random.Generator) -> np.ndarray:
    image = Image.new("L", (440, 560), 250)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=int(random.integers(11, 20)))
    words = ["no", "acute", "abnormality", "the", "lung", "heart", "size", "report", "patient", "is", "seen", "left"]
    for line in range(int(random.integers(12, 28))):
        draw.text((30, 24 + 19 * line), " ".join(random.choice(words, 8)), fill=20, font=font)
    return np.asarray(image, np.float32) / 255


def _exposed(path_length: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Bright where dense, with blur and quantum noise."""
    photons = 3000 * np.exp(-gaussian_filter(path_length, 1.5))
    noisy = np.log1p(random.poisson(photons))
    film = noisy.max() - noisy
    return (film / film.max()).astype(np.float32)


def _cylinder(
    grid: tuple[np.ndarray, np.ndarray], start: np.ndarray, end: np.ndarray, radius: float, density: float
) -> np.ndarray:
    """Path length through a round bar between two points, times its density."""
    rows, columns = grid
    along = end - start
    length = float(np.linalg.norm(along)) or 1.0
    share = ((rows - start[0]) * along[0] + (columns - start[1]) * along[1]) / length**2
    nearest = start[:, None, None] + share.clip(0, 1) * along[:, None, None]
    distance = np.hypot(rows - nearest[0], columns - nearest[1])
    return density * np.sqrt((radius**2 - distance**2).clip(0)) / 50


def _limb(random: np.random.Generator) -> np.ndarray:
    """Two long bones that meet at a joint."""
    grid = np.mgrid[0:512, 0:400].astype(float)
    middle = np.array([256.0, 200.0]) + random.normal(0, 20, 2)
    ends = [np.array([-40.0, 200 + random.normal(0, 60)]), np.array([552.0, 200 + random.normal(0, 60)])]
    body = np.zeros((512, 400))
    flesh, bone = random.uniform(70, 120), random.uniform(18, 30)
    for end in ends:
        body = np.maximum(body, _cylinder((grid[0], grid[1]), middle, end, flesh, 0.6))
    for end in ends:
        head = middle + 0.06 * (end - middle)
        body += _cylinder((grid[0], grid[1]), head, end, bone, 1.6)
        body += _cylinder((grid[0], grid[1]), head, head + 0.08 * (end - middle), 1.7 * bone, 1.0)
    return _exposed(body, random)


def _hand(random: np.random.Generator) -> np.ndarray:
    """A palm and five fingers of three bones each."""
    grid = np.mgrid[0:512, 0:440].astype(float)
    palm = np.array([360.0, 220.0])
    body = _cylinder((grid[0], grid[1]), palm, np.array([560.0, 220.0]), 90, 0.4)
    for finger, angle in enumerate(np.linspace(-0.9, 0.9, 5) + random.normal(0, 0.05, 5)):
        direction = np.array([-np.cos(angle), np.sin(angle)])
        reach = (150, 250, 275, 255, 190)[finger] * random.uniform(0.9, 1.1)
        body = np.maximum(body, _cylinder((grid[0], grid[1]), palm, palm + reach * direction, 26, 0.5))
    for finger, angle in enumerate(np.linspace(-0.9, 0.9, 5)):
        direction = np.array([-np.cos(angle), np.sin(angle)])
        reach = (150, 250, 275, 255, 190)[finger]
        for low, high in ((0.2, 0.48), (0.52, 0.74), (0.78, 0.95)):
            body += _cylinder((grid[0], grid[1]), palm + low * reach * direction, palm + high * reach * direction, 9, 2)
    return _exposed(body, random)


def _noise(random: np.random.Generator, blur: float) -> np.ndarray:
    pixels = gaussian_filter(random.random((300, 300)), blur)
    return ((pixels - pixels.min()) / np.ptp(pixels)).astype(np.float32)


def _ramp(side: str) -> np.ndarray:
    rows, columns = np.mgrid[0:300, 0:300] / 299
    found = {"horizontal": columns, "vertical": rows, "round": np.hypot(rows - 0.5, columns - 0.5) / 0.71}[side]
    return found.astype(np.float32)
