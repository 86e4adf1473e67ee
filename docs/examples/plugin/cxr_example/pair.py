"""`pair`: each film drawn to its own report, and away from all others. There is no classifier: neighbours vote."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import Tensor

from index_builder import Batch, RetrievalSystem, SystemConfig
from index_builder.systems.losses.contrast import symmetric_info_nce


class PairConfig(SystemConfig):
    """Configuration of `Pair`.

    Attributes:
        temperature: Of the contrast.
    """

    system: str = "pair"
    embedding_dim: int = 64
    token_dim: int = 64
    temperature: float = 0.07


class Pair(RetrievalSystem):
    """The encoders and towers that every system begins with, and one loss: CLIP's (Radford et al., ICML 2021)."""

    name: ClassVar[str] = "pair"
    config_class: ClassVar[type[SystemConfig]] = PairConfig
    checkpoint: ClassVar[Path | None] = Path(__file__).with_name("checkpoint")
    config: PairConfig

    def label_logits(self, vectors: Tensor) -> Tensor | None:
        """None: the vote alone tells."""
        return None

    def losses(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        """The contrast, of cases that have both film and report."""
        paired = batch.has_film & batch.has_text
        if not paired.any():
            return {"contrast": batch.labels.new_zeros((), requires_grad=True)}
        image, text = self.encode_images(batch.films[paired]), self.encode_texts(batch.texts_of(paired))
        return {"contrast": symmetric_info_nce(image.vector, text.vector, self.config.temperature)}
