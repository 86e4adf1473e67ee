"""What the map page looks up again and again, kept for all users of the server: places and colours of cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from explorer.app.library import Shelved
from explorer.maps.colouring import Colouring, colouring
from explorer.maps.points import matched_positions, neighbours_kept
from index_builder.casebook.manifest import MapName
from index_builder.cases.space import Space


@dataclass(frozen=True, slots=True)
class Panel:
    """One of the maps on the page.

    Attributes:
        shelved: The casebook whose vectors it shows; the cases are always those of the page's own casebook.
        space: Space of the vectors.
        positions: [N, 2 or 3] float32 by row of the page's casebook, NaN where a case has no place.
    """

    shelved: Shelved
    space: Space
    positions: NDArray[np.float32]


def coloured(shelved: Shelved, space: Space, field: str) -> Colouring:
    """Categories of a casebook's cases by a field. Raises `QueryError`."""
    return _coloured(shelved, str(shelved.folder), shelved.stamp, space, field)


def places(shelved: Shelved, space: Space, name: MapName) -> NDArray[np.float32]:
    """Places of a casebook's cases on one of its maps, by row. Raises `QueryError`."""
    return _places(shelved, str(shelved.folder), shelved.stamp, space, name)


def places_beside(shelved: Shelved, other: Shelved, space: Space, name: MapName) -> NDArray[np.float32]:
    """Places of a casebook's cases on a map of another, by row of the first; another layout where it lacks this one."""
    names = other.casebook.map_names(space)
    name = name if name in names else names[0]
    if other.name == shelved.name:
        return places(shelved, space, name)
    return _beside(shelved, other, (str(shelved.folder), shelved.stamp, str(other.folder), other.stamp), space, name)


def agreement(shelved: Shelved, space: Space, other: Shelved, other_space: Space) -> float | None:
    """Share of a case's nearest cases that two spaces agree on, see `neighbours_kept`."""
    key = (str(shelved.folder), shelved.stamp, str(other.folder), other.stamp)
    return _agreement(shelved, other, key, space, other_space)


@st.cache_resource(max_entries=48, show_spinner=False)
def _coloured(_shelved: Shelved, folder: str, stamp: str, space: Space, field: str) -> Colouring:
    return colouring(_shelved.casebook, space, field)


@st.cache_resource(max_entries=16, show_spinner=False)
def _places(_shelved: Shelved, folder: str, stamp: str, space: Space, name: MapName) -> NDArray[np.float32]:
    return _shelved.casebook.projection(space, name)


@st.cache_resource(max_entries=8, show_spinner=False)
def _beside(
    _shelved: Shelved, _other: Shelved, key: tuple[str, ...], space: Space, name: MapName
) -> NDArray[np.float32]:
    return matched_positions(_shelved.casebook, _other.casebook, space, name)


@st.cache_resource(max_entries=32, show_spinner=False)
def _agreement(
    _shelved: Shelved, _other: Shelved, key: tuple[str, ...], space: Space, other_space: Space
) -> float | None:
    return neighbours_kept(_shelved.casebook, space, _other.casebook, other_space)
