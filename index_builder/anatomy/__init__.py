"""Lungs, heart and clavicles outlined on a frontal film, and what follows from them: zones, the cardiothoracic ratio,
which way up and which way round the film hangs.

anatomy = shipped_segmenter().outline(film.pixels)
cardiothoracic_ratio(anatomy), zone_of(zone_map(anatomy), row, column)
"""  # noqa: D205

from index_builder.anatomy.anatomy import Anatomy
from index_builder.anatomy.structures import STRUCTURES, Structure

__all__ = ["STRUCTURES", "Anatomy", "Structure"]
