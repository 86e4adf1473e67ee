"""`mskpt`: MSK-PT, pneumoconiosis staging by multi-granularity alignment of film and report, then distillation.

Phase `pretrain` learns from pairs: weighted cross-entropy + λ1 GRA + λ2 TA + λ3 PA, that is contrast of whole cases, of
tokens within a pair, and of classes through prototypes (`losses.contrast`, `losses.token_alignment`,
`losses.prototypes`). Terms that need both modalities are left out for cases that lack one.

Phase `distil` reads films alone. The student starts from the weights of `pretrain`; a frozen copy of its image side as
it was then is the teacher. The student keeps near the teacher's vectors and near the texts of its class, learns the
stage of a weak view, and of a strong view where the weak one is certain.

Staging reads the film only. The joint vector for retrieval is the normalised sum of film and report.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from index_builder.errors import ModelError
from index_builder.systems.base import Batch, RetrievalSystem
from index_builder.systems.config import SystemConfig
from index_builder.systems.encoding import Encoding
from index_builder.systems.losses.classification import weighted_cross_entropy
from index_builder.systems.losses.contrast import symmetric_info_nce
from index_builder.systems.losses.distillation import class_text_distillation, feature_distillation, weak_strong
from index_builder.systems.losses.prototypes import Prototypes, prototype_alignment
from index_builder.systems.losses.token_alignment import token_alignment
from index_builder.systems.teacher import Teacher
from index_builder.systems.towers import Classifier


class MskPtConfig(SystemConfig):
    """Configuration of `MskPt`. A weight of 0 leaves its term out, which is the ablation.

    Attributes:
        label_smoothing: Of the cross-entropy.
        gra: λ1, weight of the global alignment of film and report.
        ta: λ2, weight of the token-wise alignment.
        pa: λ3, weight of the prototype-wise alignment.
        distillation: Weight of both distillation terms: from the teacher, and from the texts of the class.
        consistency: Weight of the strong view's term.
        gra_temperature, ta_temperature, pa_temperature, distillation_temperature: Of their softmax.
        consistency_theta: In training, a weak view less uncertain than this labels its strong view.
        theta: A prediction more uncertain than this is shown as not reliable; chosen on validation data for a stated
            risk once training is over. 1 calls everything reliable.
    """

    system: str = "mskpt"
    label_smoothing: float = 0.05
    gra: float = 0.5
    ta: float = 0.25
    pa: float = 0.5
    distillation: float = 1.0
    consistency: float = 0.5
    gra_temperature: float = 0.1
    ta_temperature: float = 0.1
    pa_temperature: float = 0.1
    distillation_temperature: float = 0.1
    consistency_theta: float = 0.2
    theta: float = 1.0


class MskPt(RetrievalSystem):
    """Encoders and towers, class prototypes and a classifier of the shared space."""

    name: ClassVar[str] = "mskpt"
    config_class: ClassVar[type[SystemConfig]] = MskPtConfig
    phases: ClassVar[tuple[str, ...]] = ("pretrain", "distil")
    strong_phases: ClassVar[tuple[str, ...]] = ("distil",)
    config: MskPtConfig

    def __init__(self, config: MskPtConfig, *, pretrained: bool = True, text_folder: Path | None = None) -> None:
        super().__init__(config, pretrained=pretrained, text_folder=text_folder)
        stages = len(config.label_names)
        self.prototypes = Prototypes(stages, config.embedding_dim)
        self.classifier = Classifier(config.embedding_dim, stages)
        # What begin_phase finds in the training cases; of use in training alone, so not saved.
        self.stage_shares: Tensor
        self.text_means: Tensor
        self.register_buffer("stage_shares", torch.ones(stages), persistent=False)
        self.register_buffer("text_means", torch.zeros(stages, config.embedding_dim), persistent=False)
        self._teacher: Teacher | None = None

    @property
    def theta(self) -> float:
        return self.config.theta

    def label_logits(self, vectors: Tensor) -> Tensor:
        """Log-probabilities of the stages, of which exactly one holds: [B, C] float32; `exp` gives p.

        Unlike raw logits they also rank cases by each stage.
        """
        logits: Tensor = self.classifier(vectors)
        return logits.float().log_softmax(-1)

    def label_probabilities(self, vectors: Tensor) -> Tensor:
        """Probabilities of the stages, [B, C] float32; rows sum to 1."""
        return self.label_logits(vectors).exp()

    def label_log_odds(self, vectors: Tensor) -> Tensor:
        logits = self.label_logits(vectors)
        return logits - (-torch.expm1(logits)).clamp(min=torch.finfo(logits.dtype).tiny).log()

    @torch.no_grad()
    def begin_phase(self, phase: str, batches: Iterable[Batch]) -> None:
        """Count the stages; before `distil` also copy the teacher and average the text vectors of each stage.

        Raises:
            ModelError: No training case has a stage.
        """
        distils = phase == "distil" and self.config.distillation > 0
        counts, sums = torch.zeros_like(self.stage_shares), torch.zeros_like(self.text_means)
        was_training = self.training
        self.eval()
        for batch in batches:
            stage = stages_of(batch)
            counts += stage[stage >= 0].bincount(minlength=len(counts))
            told = batch.has_text & (stage >= 0)
            if distils and told.any():
                sums.index_add_(0, stage[told], self.encode_texts(batch.texts_of(told)).vector.float())
        self.train(was_training)
        if not counts.any():
            raise ModelError(
                "mskpt learns stages, but no training case carries exactly one known label. Give a staged dataset."
            )
        self.stage_shares = counts / counts.sum()
        self.text_means = nn.functional.normalize(sums, dim=-1)
        self._teacher = Teacher.of(self.image_encoder, self.image_tower) if distils else None

    def losses(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        return self._pretraining(batch) if phase == "pretrain" else self._distilling(batch)

    def _pretraining(self, batch: Batch) -> dict[str, Tensor]:
        config, stage = self.config, stages_of(batch)
        has_film, has_text = batch.has_film, batch.has_text
        terms, image, text = {}, None, None
        if has_film.any():
            image = self.encode_images(batch.films[has_film])
            terms["image stage"] = self._stage_loss(image.vector, stage[has_film])
        if has_text.any():
            text = self.encode_texts(batch.texts_of(has_text))
            terms["text stage"] = self._stage_loss(text.vector, stage[has_text])
        paired = has_film & has_text
        if image is not None and text is not None and paired.any():
            image, text = image.take(paired[has_film]), text.take(paired[has_text])
            if config.gra:
                terms["GRA"] = config.gra * symmetric_info_nce(image.vector, text.vector, config.gra_temperature)
            if config.ta:
                terms["TA"] = config.ta * self._token_loss(image, text, batch.texts_of(paired))
            if config.pa:
                terms["PA"] = config.pa * prototype_alignment(
                    image.vector,
                    text.vector,
                    self.prototypes,
                    stage[paired],
                    config.pa_temperature,
                    self.stage_shares,
                )
        return terms or {"image stage": self._nothing()}

    def _distilling(self, batch: Batch) -> dict[str, Tensor]:
        config, has_film = self.config, batch.has_film
        if not has_film.any():
            return {"image stage": self._nothing()}
        if config.distillation and self._teacher is None:
            raise ValueError("begin_phase must be called before the losses of distil")
        films, stage = batch.films[has_film], stages_of(batch)[has_film]
        raw = self.image_encoder(films)
        weak: Tensor = self.image_tower(raw).vector
        terms = {"image stage": self._stage_loss(weak, stage)}
        if self._teacher is not None:
            taught = feature_distillation(weak, self._teacher.vectors(films, raw))
            terms["teacher"] = config.distillation * taught
            if self.text_means.any():
                # A stage of which no text tells has no targets.
                told = torch.where(self.text_means.any(1)[stage.clamp(min=0)], stage, -1)
                terms["class texts"] = config.distillation * class_text_distillation(
                    weak, told, self.text_means, config.distillation_temperature
                )
        if config.consistency:
            if batch.strong is None:
                raise ValueError("distil needs a strong view of each film")
            strong = self.encode_images(batch.strong[has_film]).vector
            agreement, _ = weak_strong(self.label_logits(weak), self.label_logits(strong), config.consistency_theta)
            terms["consistency"] = config.consistency * agreement
        return terms

    def _stage_loss(self, vectors: Tensor, stage: Tensor) -> Tensor:
        weights = torch.where(self.stage_shares > 0, 1 / self.stage_shares, 0)
        return weighted_cross_entropy(self.label_logits(vectors), stage, weights, self.config.label_smoothing)

    def _token_loss(self, image: Encoding, text: Encoding, texts: list[str]) -> Tensor:
        length = text.mask.shape[1]
        special = [[piece.special for piece in pieces] for pieces in self.word_pieces(texts)]
        padded = torch.tensor([row + [True] * (length - len(row)) for row in special], device=text.mask.device)
        return token_alignment(
            image.tokens,
            image.mask,
            text.tokens,
            text.mask & ~padded,
            self.config.ta_temperature,
            self.image_tower.token_weights(image),
            self.text_tower.token_weights(text),
        )

    def _nothing(self) -> Tensor:
        return 0 * self.classifier.weight.sum()


def stages_of(batch: Batch) -> Tensor:
    """[B] int64: the label of each case that carries exactly one known label, -1 for the others."""
    held = batch.labels.bool() & batch.known
    return torch.where(held.sum(1) == 1, held.float().argmax(1), -1)
