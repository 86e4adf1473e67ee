"""What is kept of an encoder beside its graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from index_builder.errors import ModelError
from index_builder.imaging import Framing

ENCODER_FILE = "encoder.json"

#: Film and text to vectors, both vectors to one, a vector to labels.
PartName = Literal["film", "text", "join", "labels"]


def graph_file(folder: Path, part: PartName) -> Path:
    """Where the graph of a part lies in a system's folder."""
    return folder / f"{part}.onnx"


class TextRecord(BaseModel):
    """How texts become numbers, beside the tokenizer's own file.

    Attributes:
        max_tokens: Of a text as many are read.
        pad_id, pad_token: What follows a text that is shorter than others.
        pad_left: Whether it stands before the text.
        one_length: Whether all texts are brought to `max_tokens`.
        masked: Whether the graph is told which tokens are real.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int
    pad_id: int
    pad_token: str
    pad_left: bool
    one_length: bool
    masked: bool


class EncoderRecord(BaseModel):
    """encoder.json.

    Attributes:
        dim: Width of vectors.
        image_size: Edge of films in pixels.
        framing: How films become squares; None: as `imaging.model_input` makes them.
        reads: What is read of a case.
        text: None: films alone are read, or PyTorch reads the texts.
        reads_texts: Whether texts are read at all.
        fuses: Whether film and text are joined by their tokens, not as vectors alone.
        classifies: Whether there is a classifier.
        in_torch: What has no graph or needs PyTorch all the same, and why.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int
    image_size: int
    framing: Framing | None
    reads: Literal["report", "profile"]
    reads_texts: bool
    text: TextRecord | None
    fuses: bool
    classifies: bool
    in_torch: dict[Literal["film", "text", "join", "labels", "framing"], str]

    def save(self, folder: Path) -> None:
        """Write beside the graphs, last of all: where it lies, they are complete."""
        (folder / ENCODER_FILE).write_text(self.model_dump_json(indent=2) + "\n", "utf-8")


def read_record(folder: Path) -> EncoderRecord | None:
    """What `save` wrote; None where a system was kept without graphs, as before December 2026.

    Raises:
        ModelError: The file is damaged.
    """
    path = folder / ENCODER_FILE
    if not path.is_file():
        return None
    try:
        return EncoderRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(f"{path}: unreadable ({str(error)[:200]}). Restore the file or rebuild.") from error
