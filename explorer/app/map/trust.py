"""How far a map can be trusted, in plain words, and what its clusters say."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from explorer.app.library import Shelved
from explorer.app.map.controls import MAP_WORDS
from index_builder.casebook.manifest import MapName, MapRecord
from index_builder.cases.space import Space
from index_builder.maps.maps import FITTED_CASES
from index_builder.maps.placing import PLACING_NEIGHBOURS


def trust_words(record: MapRecord) -> str:
    """One sentence or two for a reader who will not unfold more."""
    parts = []
    if record.trustworthiness is not None:
        held = (
            "well" if record.trustworthiness >= 0.95 else "fairly well" if record.trustworthiness >= 0.88 else "loosely"
        )
        parts.append(f"It keeps neighbourhoods {held} (trustworthiness {record.trustworthiness:.2f}; 0.5 is chance)")
    if record.purity is not None and record.purity_full is not None and record.purity_chance is not None:
        parts.append(
            f"of a case's ten nearest here {10 * record.purity:.1f} share a finding with it, "
            f"{10 * record.purity_full:.1f} by full vectors, {10 * record.purity_chance:.1f} by chance"
        )
    return "; ".join(parts) + "." if parts else "Too few cases to say how far to trust it."


@st.fragment
def trust_panel(shelved: Shelved, space: Space, refitted: tuple[MapName, MapRecord] | None) -> None:
    """Draw the figures of every map of a space, and its clusters with their words, once they are asked for."""
    panel = st.expander(
        "How far to trust these maps, and what the clusters are",
        icon=":material/rule:",
        key=f"map-trust-{shelved.name}",
        on_change="rerun",
    )
    if panel.open:
        with panel:
            _trust(shelved, space, refitted)
            _clusters(shelved, space)


def _trust(shelved: Shelved, space: Space, refitted: tuple[MapName, MapRecord] | None) -> None:
    records = {MAP_WORDS[name]: record for name, record in shelved.casebook.maps.spaces[space].maps.items()}
    if refitted is not None:
        records[f"{MAP_WORDS[refitted[0]]}, recomputed"] = refitted[1]
    st.dataframe(
        pd.DataFrame({name: _figures(record) for name, record in records.items()}).T,
        column_config={"_index": "Map"},
    )
    st.caption(
        "**Trustworthiness**: 1 when every case that looks near on the map is near by full vectors, 0.5 by chance. "
        "**Continuity**: 1 when near cases stay near. **Shared findings**: how many of a case's ten nearest "
        "share a finding with it, on the map, by full vectors, by chance. "
        f"**Placing error**: a query is placed among its {PLACING_NEIGHBOURS} nearest cases; this is how far cases "
        "placed that way land from their own place, in typical distances between two cases, and the share of cases "
        "that are nearer to it than the case itself (0.5 by chance). The map knew these cases, so a new one errs "
        "more. A map in two or three dimensions always loses something: what lies far apart on it may be alike. "
        f"Of more than {FITTED_CASES:,} cases, {FITTED_CASES:,} are laid out and the others placed like queries."
    )


def _clusters(shelved: Shelved, space: Space) -> None:
    clusters = shelved.casebook.maps.spaces[space].clusters
    if not clusters:
        st.caption("No clusters: the cases of this space lie too evenly or are too few.")
        return
    st.dataframe(
        pd.DataFrame(
            {
                "Cluster": range(1, len(clusters) + 1),
                "Cases": [one.cases for one in clusters],
                "Its cases say more often than others": [", ".join(one.words) for one in clusters],
            }
        ),
        hide_index=True,
    )
    st.caption(
        "Clusters are groups of cases that lie densely together on the three-dimensional map (HDBSCAN), named by "
        "the words of their reports, or of labels and profile where reports are not read. They follow the system's "
        "vectors: a cluster may stand for an exposure or a device as well as for a disease."
    )


def kept_words(share: float | None) -> str:
    """How alike two spaces are that are shown side by side."""
    if share is None:
        return "Too few common cases to say how alike the two are."
    return (
        f"By full vectors the two agree on {10 * share:.1f} of a case's ten nearest cases. A case you point at on one "
        "map is marked on both; so is what you choose."
    )


def _figures(record: MapRecord) -> dict[str, str]:
    def number(value: float | None, digits: int = 2) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    def tenfold(value: float | None) -> str:
        return "–" if value is None else f"{10 * value:.1f}"

    return {
        "Cases": f"{record.cases:,}",
        "Trustworthiness": number(record.trustworthiness, 3),
        "Continuity": number(record.continuity, 3),
        "Shared findings, map": tenfold(record.purity),
        "full vectors": tenfold(record.purity_full),
        "chance": tenfold(record.purity_chance),
        "Placing error, distance": number(record.placement_distance),
        "share nearer": number(record.placement_rank, 3),
    }
