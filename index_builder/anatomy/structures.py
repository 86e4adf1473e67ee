"""What is outlined on a film, in the order of every array of masks."""

from __future__ import annotations

from typing import Literal

Structure = Literal["right lung", "left lung", "heart", "right clavicle", "left clavicle"]

#: Sides are the patient's, of a film that hangs as usual: the patient's right on the left of the picture.
STRUCTURES: tuple[Structure, ...] = ("right lung", "left lung", "heart", "right clavicle", "left clavicle")
RIGHT_LUNG, LEFT_LUNG, HEART, RIGHT_CLAVICLE, LEFT_CLAVICLE = range(len(STRUCTURES))
#: Channels of the network that outlines them at a half, a quarter, … of the film's resolution; a million weights.
WIDTHS = (24, 40, 64, 96, 128)
#: Where the structure lies that a structure becomes when the film is mirrored.
MIRRORED = (LEFT_LUNG, RIGHT_LUNG, HEART, LEFT_CLAVICLE, RIGHT_CLAVICLE)
