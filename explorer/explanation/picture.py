"""An overlay as a picture that explains itself: film, overlay, colour bar and what they mean, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from explorer.explanation.explain import Answer
from explorer.explanation.overlay import FilmMap, Scale, blend, colour_table

_FILM_SIDE = 560
_GAP = 16
_BAR_HEIGHT = 18
_TEXT, _FAINT, _PAPER, _MARK = (23, 34, 44), (90, 102, 112), (255, 255, 255), (255, 210, 138)


@dataclass(frozen=True, slots=True)
class Panel:
    """One film of the picture, drawn twice: as it is, and with its map.

    Attributes:
        title: Above the pair.
        grey: [H, W] uint8, the film as shown.
        film_map: What is laid over it.
        synthetic: Mark it as drawn.
    """

    title: str
    grey: NDArray[np.uint8]
    film_map: FilmMap
    synthetic: bool


def panels_of(answer: Answer) -> list[Panel]:
    """Films of an answer with their maps."""
    return [
        Panel(side.study.name, side.study.shown, side.film_map, side.study.synthetic)
        for side in answer.sides
        if side.study.shown is not None and side.film_map is not None
    ]


def figure_png(
    panels: Sequence[Panel], scale: Scale, legend: Sequence[str], *, opacity: float, threshold: float
) -> bytes:
    """Draw films and overlays in rows on one scale, with colour bar and legend.

    Args:
        panels: Films with their maps, one or more.
        scale: Scale of all of them.
        legend: Sentences under the colour bar; wrapped where they are too long.
        opacity: As in `overlay.blend`.
        threshold: As in `overlay.blend`.
    """
    regular, small = _font(17), _font(14)
    rows = [_row(panel, scale, regular, small, opacity, threshold) for panel in panels]
    width = max(row.width for row in rows)
    words = [line for sentence in legend for line in _wrapped(sentence, small, width - 2 * _GAP)]
    bar = _bar(scale, small, threshold, width - 2 * _GAP)
    height = sum(row.height for row in rows) + bar.height + _GAP + 21 * len(words) + _GAP
    picture = Image.new("RGB", (width, height), _PAPER)
    top = 0
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height
    picture.paste(bar, (_GAP, top))
    top += bar.height + _GAP
    draw = ImageDraw.Draw(picture)
    for line in words:
        draw.text((_GAP, top), line, _TEXT, small)
        top += 21
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _row(
    panel: Panel,
    scale: Scale,
    regular: ImageFont.FreeTypeFont,
    small: ImageFont.FreeTypeFont,
    opacity: float,
    threshold: float,
) -> Image.Image:
    shown = Image.fromarray(panel.grey)
    shown.thumbnail((_FILM_SIDE, _FILM_SIDE), Image.Resampling.LANCZOS)
    grey = np.asarray(shown)
    shares = scale.shares(panel.film_map.on_film(*grey.shape))
    overlaid = blend(grey, shares, signed=scale.signed, opacity=opacity, threshold=threshold)
    rows, columns = grey.shape
    row = Image.new("RGB", (2 * columns + 3 * _GAP, rows + 3 * _GAP + 8), _PAPER)
    draw = ImageDraw.Draw(row)
    draw.text((_GAP, 12), _shortened(panel.title, regular, row.width - 2 * _GAP), _TEXT, regular)
    for number, image in enumerate((Image.fromarray(grey).convert("RGB"), Image.fromarray(overlaid))):
        left, top = _GAP + number * (columns + _GAP), 2 * _GAP + 8
        row.paste(image, (left, top))
        if panel.synthetic:
            place = (left + 6, top + rows - 26)
            box = draw.textbbox(place, "synthetic", small)
            draw.rectangle((box[0] - 4, box[1] - 3, box[2] + 4, box[3] + 3), (0, 0, 0))
            draw.text(place, "synthetic", _MARK, small)
    return row


def _bar(scale: Scale, font: ImageFont.FreeTypeFont, threshold: float, width: int) -> Image.Image:
    """Colour bar with its numbers; grey where values are below the threshold and nothing is drawn."""
    shares = np.linspace(-1 if scale.signed else 0, 1, width, dtype=np.float32)
    colours = colour_table(scale.signed)[np.rint(np.linspace(0, 255, width)).astype(np.uint8)]
    colours = np.where((np.abs(shares) < threshold)[:, None], np.uint8(208), colours)
    bar = Image.new("RGB", (width, _BAR_HEIGHT + 24), _PAPER)
    bar.paste(Image.fromarray(np.repeat(colours[None], _BAR_HEIGHT, axis=0)), (0, 0))
    draw = ImageDraw.Draw(bar)
    for share, number in scale.ticks():
        place = (share - shares[0]) / (1 - shares[0]) * (width - 1)
        length = draw.textlength(number, font)
        draw.text((min(max(0.0, place - length / 2), width - length), _BAR_HEIGHT + 4), number, _FAINT, font)
    return bar


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans: it has the letters of most languages, Pillow's own font those of English."""
    import matplotlib  # comes with captum; imported only where a picture is drawn

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _wrapped(sentence: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in sentence.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(_shortened(word, font, width))
    return lines


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + " …") > width:
        text = text[:-1]
    return text + " …"
