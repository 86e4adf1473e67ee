"""What a casebook holds, where it comes from, what embeds it, and what it is not good for."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np
import streamlit as st

from explorer.app.about.words import draw_glossary
from explorer.app.library import Shelved
from explorer.app.shared.draw import draw_html
from explorer.app.shared.learnt_table import learnt_html
from explorer.app.shared.markup import facts_html, label_words, plain_markdown, space_words, title_html
from explorer.cases.chest_findings import is_labelled, without_label
from explorer.report.casebook import label_frequency, number_histogram
from index_builder.calibration.learnt import rule_words
from index_builder.cases.case import SPLITS
from index_builder.disclaimer import DISCLAIMER

_INDEX_WORDS = {
    "flat": "exact comparison with every case",
    "hnsw": "HNSW graph, approximate",
    "ivfpq": "IVF-PQ with refinement, approximate",
    "milvus": "Milvus",
}


def about_page(shelved: Shelved) -> None:
    """Draw the dataset card, the system card, counts, limits, licence and glossary."""
    casebook = shelved.casebook
    manifest, dataset, system = casebook.manifest, casebook.manifest.dataset, casebook.manifest.system
    draw_html(title_html(dataset.title), f'<p class="cxr-lead">{escape(dataset.description)}</p>')
    if dataset.synthetic:
        st.warning(
            "The films of this casebook are synthetic: computer-drawn, not X-rays. They show what the tool does but "
            "teach no radiology, and figures measured on them say nothing about patients. Any real film is unlike "
            "them, so only scores are shown for it.",
            icon=":material/draw:",
        )
    counts = casebook.counts("split")
    with st.container(horizontal=True, gap="medium", key="cxr-counts"):
        for name, count in (
            ("Cases", manifest.cases),
            ("Films", manifest.films),
            ("Reports", manifest.reports),
            *((f"{split.capitalize()} split", counts[split]) for split in SPLITS if split in counts),
        ):
            st.metric(name, f"{count:,}", width="content")
    if manifest.unreadable:
        left_out = sum(not film.kept for film in manifest.unreadable)
        st.caption(
            f"{len(manifest.unreadable):,} films could not be read when this casebook was built. Cases left out: "
            f"{left_out:,}. The casebook's manifest.json names each film."
        )
    by_classifier = f"a classifier of {len(system.label_names)} labels, " if system.predicts_by == "classifier" else ""
    indexes = {
        f"Index by {space_words(space, system.reads)}": f"{record.count:,} vectors, {_INDEX_WORDS[record.index]}"
        for space, record in manifest.spaces.items()
    }
    with st.container(key="cxr-sides-about"):
        left, right = st.columns([0.55, 0.45], gap="large")
    with left:
        if casebook.label_names:
            st.header("Labels", anchor=False)
            st.caption(plain_markdown(dataset.label_definition))
            st.plotly_chart(label_frequency(casebook), config={"displayModeBar": False}, key="label-frequency")
        if "age" in casebook.profile_fields and (ages := casebook.column("age")).dtype == np.float64:
            st.header("Age in years", anchor=False)
            st.plotly_chart(number_histogram(ages, "years"), config={"displayModeBar": False}, key="ages")
    with right:
        draw_html(
            facts_html(
                "Dataset",
                {
                    "Source": dataset.source,
                    "Licence": dataset.licence,
                    "Cite": dataset.citation,
                    "Films": "synthetic" if dataset.synthetic else "real" if manifest.films else "none",
                    "Read as": dataset.kind + (f", {dataset.limit:,} cases chosen at random" if dataset.limit else ""),
                }
                | ({} if manifest.subset_of is None else {"Chosen from": manifest.subset_of}),
            ),
            facts_html(
                "System",
                {
                    "Name": f"{system.name}, preset {system.preset}",
                    "Films read by": system.image_encoder,
                    f"{system.reads.capitalize()}s read by": system.text_encoder or "nothing: it reads films alone",
                    "Vector": f"{system.embedding_dim} numbers per film"
                    + (f", {system.reads} or both" if system.text_encoder else ""),
                    "Findings by": f"{by_classifier}the vote of {system.vote_neighbours} neighbours",
                    "Weights": f"SHA-256 {system.digest[:16]} …",
                }
                | ({"Licence of the encoder": system.licence} if system.licence else {})
                | indexes,
            ),
        )
    _what_is_known(shelved)
    st.header("Limits", anchor=False)
    st.markdown(
        f"""
- **{DISCLAIMER}** Similar does not mean same diagnosis; the nearest case is the nearest of this casebook only.
- Labels are as good as their definition above: mined or coded labels miss findings and contain errors.
- The findings shown for a query are a program's predictions: a classifier's, and shares among the neighbours. They
  cover the labels above and nothing else.
- Only scores are shown for a film that was flagged, or for a text that was not understood or is shorter than
  nearly all {system.reads}s here.
- Similarity is that of the system's vectors. It can follow projection, devices or exposure as well as disease.
- An uploaded film stays in the memory of your session. It is not stored, and its name and header are not kept.
"""
    )
    st.header("Check this casebook", anchor=False)
    st.markdown(
        f"Its manifest holds the SHA-256 of {len(manifest.files)} files. This command names every file that changed:"
    )
    st.code(f"cxr-explorer verify {shelved.folder.name}", language=None)
    draw_glossary()


def _what_is_known(shelved: Shelved) -> None:
    """Draw which findings can be predicted, what they were learnt on, and which common ones cannot be predicted."""
    casebook, learnt = shelved.casebook, shelved.casebook.learnt
    labels, known = casebook.label_names, casebook.manifest.system.label_names
    classified = known if casebook.manifest.system.predicts_by == "classifier" else ()
    others = [name for name in known if name not in labels]
    st.subheader("What can be predicted", anchor=False)
    st.html(
        facts_html(
            "Findings",
            {
                "Predicted by classifier and neighbours": _listed(name for name in labels if name in classified),
                "Predicted by neighbours alone": _listed(name for name in labels if name not in classified),
                "Known to the system, but no case here has it": _listed(others) if learnt is None else "",
                "Without a label here": _listed(
                    f"{one.name} (known to the system)" if is_labelled(one, classified) else one.name
                    for one in without_label(casebook)
                ),
            },
        )
    )
    st.caption(
        "The last line lists common findings only. A finding without a label here is never predicted, however obvious "
        "it is. Findings that the system knows but no case here has are not shown, because nothing here can calibrate "
        "them."
    )
    if learnt is None:
        st.caption("What the system learnt each finding on was not recorded when it was trained.")
        return
    draw_html(learnt_html(learnt, labels, known, "What the system learnt the findings of these cases on"))
    st.caption(
        "AUROC: how often a film with the finding scores higher than one without; 0.5 is a guess. In brackets the 95 % "
        "interval. Epochs and thresholds were chosen on the same validation films, so these figures are slightly too "
        f"good. {rule_words()}"
    )
    if others:
        with st.expander(f"Known to the system, but no case here has it ({len(others)})", key="known-elsewhere"):
            st.caption("Nothing here calibrates these findings, so they are not shown with a query.")
            seen = [name for name in others if learnt.evidence(name)]
            if seen:
                draw_html(learnt_html(learnt, seen, known, "What the system learnt other findings on"))
            if never := [name for name in others if name not in seen]:
                st.caption(f"Names without any example in its data: {plain_markdown(_listed(never))}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(label_words, names)) or "none"
