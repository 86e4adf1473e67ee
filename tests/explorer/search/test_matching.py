"""Why a neighbour matched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.search.phrases import shared_phrases, thumbnail_signature


@pytest.mark.parametrize(
    ("query", "report", "expected"),
    [
        (
            "Small left pleural effusion.",
            "There is a small left pleural effusion today.",
            ("small left pleural effusion",),
        ),
        ("Cardiomegaly. No effusion.", "No effusion seen. Cardiomegaly again.", ("no effusion", "cardiomegaly")),
        ("The heart is normal", "Of the and is", ()),
        ("XXXX XXXX", "XXXX XXXX", ()),
        ("left effusion", "effusion. left lung", ("effusion",)),
        ("left pleural effusion", "No pleural effusion. Heart large.", ()),
        ("There is no pleural effusion", "No pneumothorax or pleural effusion", ("pleural effusion",)),
        ("", "anything", ()),
    ],
)
def test_phrases_stay_within_sentences_and_say_something(query: str, report: str, expected: tuple[str, ...]) -> None:
    assert shared_phrases(query, report) == expected


@given(st.text(max_size=80), st.text(max_size=80))
def test_phrases_occur_in_both_texts(one: str, other: str) -> None:
    from index_builder.cases.sentences import WORD

    for phrase in shared_phrases(one, other):
        for text in (one, other):
            assert f" {phrase} " in f" {' '.join(WORD.findall(text.lower()))} "


def test_signature_of_a_film_resized_and_recompressed_is_nearly_its_own() -> None:
    import io

    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (24, 24), dtype=np.uint8)).resize(
        (256, 240), Image.Resampling.BICUBIC
    )

    def jpeg(image: Image.Image, quality: int) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()

    first = thumbnail_signature(jpeg(coarse, 90))
    copy = thumbnail_signature(jpeg(coarse.resize((200, 190)), 40))
    other = thumbnail_signature(jpeg(coarse.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 90))
    assert first @ copy > 0.99
    assert first @ other < 0.5
    flat = thumbnail_signature(jpeg(Image.new("L", (64, 64), 90), 90))
    assert float(flat @ flat) == 0
