"""Published encoders that `frozen` is known to be asked for, and the licence of any encoder.

Sizes and licences are as their publishers state them; nothing is fetched to list them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from index_builder.errors import ModelError

#: What the licence lets anyone do: anything that names the source, no commerce, or what terms say that must be read.
Use = Literal["free", "non-commercial", "terms"]


@dataclass(frozen=True, slots=True)
class Licence:
    """Of an encoder's weights.

    Attributes:
        name: As its publisher has it.
        use: What it allows; terms must be agreed to where they are not free, or not known.
    """

    name: str
    use: Use


@dataclass(frozen=True, slots=True)
class KnownEncoder:
    """An encoder by the name that `build --encoder` takes.

    Attributes:
        source: Its name.
        reads: What it has vectors of.
        parameters: Millions, about, as its architecture has them.
        pixels: Edge of its films; None: as its own preprocessor says.
        licence: Of its weights.
        note: What else to know.
    """

    source: str
    reads: Literal["film", "film and text"]
    parameters: int
    pixels: int | None
    licence: Licence
    note: str = ""


_MIT, _APACHE = Licence("MIT", "free"), Licence("Apache-2.0", "free")
_BY_NC = Licence("CC-BY-NC-4.0", "non-commercial")

ENCODERS: tuple[KnownEncoder, ...] = (
    KnownEncoder("hub:microsoft/rad-dino", "film", 87, 518, _MIT, "DINOv2 on chest X-rays"),
    KnownEncoder("hub:StanfordAIMI/dinov2-base-xray-224", "film", 87, 224, _APACHE, "DINOv2 on X-rays"),
    KnownEncoder("hub:m42-health/CXformer-base", "film", 87, None, _BY_NC, "its file format is unchecked"),
    KnownEncoder(
        "xrv:densenet121-res224-all", "film", 7, 224, _APACHE, "chest X-rays; a classifier of 18 findings of its own"
    ),
    KnownEncoder(
        "hub:google/medsiglip-448",
        "film and text",
        879,
        448,
        Licence("Health AI Developer Foundations terms", "terms"),
        "gated: agree on its page and log in to the hub first",
    ),
    KnownEncoder("hub:StanfordAIMI/XraySigLIP__vit-b-16-siglip-512__webli", "film and text", 203, 512, _BY_NC),
    KnownEncoder("hub:StanfordAIMI/XraySigLIP__vit-l-14__laion2b-s32b-b82k", "film and text", 428, None, _BY_NC),
    KnownEncoder(
        "open_clip:hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        "film and text",
        196,
        224,
        _MIT,
        "figures of biomedical papers; its weights are a pickle, read as tensors alone; needs the encoders extra",
    ),
    KnownEncoder("hub:openai/clip-vit-base-patch16", "film and text", 150, 224, _MIT, "photographs"),
    KnownEncoder("hub:google/siglip-base-patch16-224", "film and text", 203, 224, _APACHE, "photographs"),
)

#: What a model card's `license` means, where it is free.
_FREE = re.compile(r"(mit|apache-2\.0|bsd.*|cc0-1\.0|cc-by-\d.*|cc-by-sa-\d.*|unlicense)")


def licence_of(source: str) -> Licence:
    """The licence of an encoder: as listed here, else as its model card states it, else unknown.

    Raises:
        ModelError: The repository cannot be reached.
    """
    bare = source.partition("@")[0]
    for one in ENCODERS:
        if one.source == bare:
            return one.licence
    kind, _, name = source.partition(":")
    if kind == "xrv":
        return _APACHE
    if kind not in ("hub", "open_clip", "timm"):
        return Licence("not stated", "terms")
    stated = _card_licence(name)
    if not stated:
        return Licence("not stated", "terms")
    if "-nc" in stated.lower():
        return Licence(stated, "non-commercial")
    return Licence(stated, "free" if _FREE.fullmatch(stated.lower()) else "terms")


def require_consent(source: str, accepted: bool) -> Licence:
    """The licence of an encoder, agreed to where that is needed.

    Raises:
        ModelError: It is not free and nobody agreed.
    """
    licence = licence_of(source)
    if licence.use == "free" or accepted:
        return licence
    why = {
        "non-commercial": f"has the licence {licence.name}, which forbids commercial use",
        "terms": f"has terms of its own ({licence.name})"
        if licence.name != "not stated"
        else "does not state its licence",
        "free": "",
    }[licence.use]
    raise ModelError(f"encoder {source!r} {why}. Read it at its publisher's; agree with --accept-licence.")


def _card_licence(name: str) -> str:
    """What the front matter of a repository's or folder's README.md says; empty where it says nothing."""
    from index_builder.systems.backbones.hub import HubPlace, loading

    for prefix in ("hf-hub:", "local-dir:"):
        name = name.removeprefix(prefix)
    place = HubPlace.parse(f"hub:{name}")
    if Path(place.location).is_dir():
        card = Path(place.location) / "README.md"
        text = card.read_text("utf-8", errors="replace") if card.is_file() else ""
    else:
        from transformers.utils import cached_file

        with loading("image", f"hub:{name}"):
            found = cached_file(
                place.location, "README.md", revision=place.revision, _raise_exceptions_for_missing_entries=False
            )
        text = Path(str(found)).read_text("utf-8", errors="replace") if found else ""
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    stated = re.search(r"^license(?:_name)?:\s*[\"']?([\w.\-]+)", front[1], re.MULTILINE) if front else None
    return stated[1] if stated else ""
