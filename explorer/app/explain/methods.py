"""Several methods side by side, and how far they agree."""

from __future__ import annotations

import base64
import io
from html import escape
from itertools import combinations

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from explorer.app.explain.answers import answer_for
from explorer.app.explain.controls import Asked
from explorer.app.explain.overlay import View
from explorer.app.library import Shelved
from explorer.app.shared.draw import draw_html
from explorer.explanation.explain import Answer, Side, agreement
from explorer.explanation.overlay import FilmMap, Scale, blend
from explorer.explanation.study import Study
from explorer.explanation.words import METHOD_WORDS

_SIDE = 320


def methods_side_by_side(shelved: Shelved, study: Study, asked: Asked) -> None:
    """Draw every method that can answer the question, each on its own scale, once the user wants it."""
    if len(asked.methods) < 2:
        return
    if not st.toggle("All methods side by side", key=f"explain-all-{shelved.name}"):
        return
    answers = []
    for method in asked.methods:
        answer = answer_for(shelved, study, asked.question, method, asked.layer if method == asked.method else None)
        if answer is not None:
            answers.append(answer)
    shown = [answer for answer in answers if answer.scale is not None]
    if shown:
        figures = "".join(_figure(answer, side) for answer in shown for side in answer.sides)
        draw_html(f'<div class="cxr-methods">{figures}</div>')
        st.caption(
            "Every method has a scale and a unit of its own: compare where the colours are, not how bright they are."
        )
    else:
        st.caption("Only text is explained here: the table shows how far the methods agree on its words.")
    if len(answers) > 1:
        _agreement(answers)


def _figure(answer: Answer, side: Side) -> str:
    if side.film_map is None or side.study.shown is None or answer.scale is None:
        return ""
    words = METHOD_WORDS[answer.method]
    layer = "" if answer.layer is None else f"stage {answer.layer} · "
    numbers = " … ".join((answer.scale.ticks()[0][1], answer.scale.ticks()[-1][1]))
    mark = '<span class="cxr-mark">synthetic</span>' if side.study.synthetic else ""
    name = f" · {side.study.name}" if len(answer.sides) > 1 else ""
    return (
        f'<figure class="cxr-method"><figcaption>{escape(words.title + name)}'
        f'<span class="cxr-muted">{escape(layer)}{escape(numbers)}</span></figcaption>'
        f'<div class="cxr-film"><img src="{_picture(side.study.shown, side.film_map, answer.scale)}" '
        f'alt="{escape(f"{side.study.name}, {words.title} laid over the film", quote=True)}">{mark}</div></figure>'
    )


def _picture(shown: NDArray[np.uint8], film_map: FilmMap, scale: Scale) -> str:
    film = Image.fromarray(shown)
    film.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    shares = scale.shares(film_map.on_film(film.height, film.width))
    drawn = blend(np.asarray(film), shares, signed=scale.signed, opacity=View().opacity, threshold=View().threshold)
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _agreement(answers: list[Answer]) -> None:
    several = len(answers[0].sides) > 1
    rows = [
        {
            "Methods": f"{METHOD_WORDS[one.first].title} and {METHOD_WORDS[one.second].title}",
            "Of": _WHAT[one.what] + (f" of {one.study.name[:1].lower()}{one.study.name[1:]}" if several else ""),
            "Pearson ρ": one.rho,
            "IoU of top 5 %": one.overlap,
        }
        for pair in combinations(answers, 2)
        for one in agreement(*pair)
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config={"Pearson ρ": _NUMBER, "IoU of top 5 %": _NUMBER})
    st.caption(
        "Pearson ρ compares weights place by place or word by word; 1 is equal, 0 unrelated. The IoU is that of the "
        "strongest twentieth of each; 1 is equal, 0.03 chance. Methods that disagree cannot all be right, and methods "
        "that agree can all be wrong."
    )


_WHAT = {"films": "film", "texts": "text"}
_NUMBER = st.column_config.NumberColumn(format="%.2f")
