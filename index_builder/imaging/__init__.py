"""DICOM, PNG and JPEG bytes to `Film`, and the one preprocessing that training, building and queries share.

film = read_film(Path("film.dcm"))
batch[0] = model_input(film.pixels, 224)
"""

from index_builder.imaging.decode import decode_film, read_film
from index_builder.imaging.film import Film, Limits
from index_builder.imaging.framing import Framing, encoder_geometry, encoder_input, framed, framed_geometry
from index_builder.imaging.preprocess import (
    InputGeometry,
    display_png,
    input_geometry,
    model_input,
    thumbnail_jpeg,
)

__all__ = [
    "Film",
    "Framing",
    "InputGeometry",
    "Limits",
    "decode_film",
    "display_png",
    "encoder_geometry",
    "encoder_input",
    "framed",
    "framed_geometry",
    "input_geometry",
    "model_input",
    "read_film",
    "thumbnail_jpeg",
]
