"""What the tests of the table readers share: small films, and where the real samples are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import ROOT

#: Beside the project's root; absent in most checkouts.
SAMPLES = (ROOT / "../shared/data").resolve()


def sample(name: str) -> Path:
    """Folder of a real sample; skips the test where there is none."""
    folder = SAMPLES / name
    if not folder.is_dir():
        pytest.skip(f"the real sample {name} is not beside this checkout")
    return folder


def write_film(path: Path, seed: int = 0) -> None:
    """A grey PNG or JPEG of 32 x 40 pixels; different by seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 40), dtype=np.uint8)).save(path)
