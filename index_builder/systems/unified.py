"""`unified`: the Unified Multimodal Framework (Swin + ClinicalBERT fused by cross-attention both ways).

Film and report are encoded to tokens of one width; learned queries pool each modality to a vector, and cross-attention
layers fuse both to the joint vector. All three vectors share one space and one label classifier, so a film, a report or
both can be searched and classified. Trained with a mixture of binary cross-entropy and focal loss on every vector, and
contrastive terms between film, report and joint vectors; whole modalities are dropped at random so that a case may miss
either. Where films are drawn and tell where their findings lie, the queries that pool a film's tokens learn to look
there, each for the finding of its number: small shadows are then found, and shown, with far fewer films. Short typed
queries, denied and sided ones among them, are learnt beside the reports, so that "no cardiomegaly" is no text about a
large heart. Reranking with the findings graph: `index_builder.reranking`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from index_builder.systems.base import Batch, RetrievalSystem
from index_builder.systems.config import SystemConfig
from index_builder.systems.encoding import CrossAttention, Encoding, normalise
from index_builder.systems.fusion import AttentionPool, CrossFusion
from index_builder.systems.joining import join_cases
from index_builder.systems.losses.classification import mixed
from index_builder.systems.losses.contrast import label_contrast
from index_builder.systems.losses.queries import query_contrast
from index_builder.systems.losses.regions import region_loss
from index_builder.systems.queries import Queries
from index_builder.systems.towers import Classifier, summed

if TYPE_CHECKING:
    from index_builder.cases.case import Case


class UnifiedConfig(SystemConfig):
    """Configuration of `Unified`.

    Attributes:
        pool_queries: About one query per finding.
        fusion_layers: Cross-attention layers; 0 leaves fusion out: the joint vector is then the modalities' mean.
        fusion_heads: Attention heads of each.
        hybrid: A feed-forward block per layer instead of one shared by all.
        dropout: In pooling and fusion.
        focal_gamma, focal_mixing: Focal loss and its share beside binary cross-entropy.
        contrast: Weight of the contrastive term.
        contrast_temperature: Of its softmax.
        joint: Weight of what joint vectors learn; 0 leaves them out, which spares fusion while encoders are trained.
        regions: Weight of the term that tells the first `pool_queries` labels' queries where their findings lie.
        queries: Weight of the terms that read typed queries, denied and sided ones among them.
        modality_dropout: Share of complete cases that are fused with one modality missing in training.
        swapped_films: Share of the other complete cases that are fused with the film of another case in training. An
            encoder knows its training films better than any it will meet, and fusion would learn to trust it as much.
        film_weight: Of the film's vector in the mean that fusion corrects, the report's being 1.
    """

    system: str = "unified"
    pool_queries: int = 24
    pool_width: int = 48
    fusion_layers: int = 2
    fusion_heads: int = 4
    hybrid: bool = False
    focal_gamma: float = 2.0
    focal_mixing: float = 0.5
    contrast: float = 0.15
    contrast_temperature: float = 0.1
    joint: float = Field(default=1.0, ge=0)
    regions: float = 0.0
    queries: float = 0.0
    modality_dropout: float = 0.3
    swapped_films: float = Field(default=0.0, ge=0, le=1)
    film_weight: float = Field(default=1.0, gt=0)

    @property
    def learns_joint(self) -> bool:
        return self.joint > 0

    @property
    def learns_regions(self) -> bool:
        return self.regions > 0

    @property
    def learns_queries(self) -> bool:
        return self.queries > 0


class Unified(RetrievalSystem):
    """Encoders and towers, cross-attention fusion and a label classifier on the shared space."""

    name: ClassVar[str] = "unified"
    config_class: ClassVar[type[SystemConfig]] = UnifiedConfig
    reranks: ClassVar[bool] = True
    config: UnifiedConfig

    def __init__(self, config: UnifiedConfig, *, pretrained: bool = True, text_folder: Path | None = None) -> None:
        super().__init__(config, pretrained=pretrained, text_folder=text_folder)
        width, dropout = config.token_dim, config.dropout
        if config.fusion_layers:
            self.fusion = CrossFusion(
                width, config.fusion_layers, config.fusion_heads, hybrid=config.hybrid, dropout=dropout
            )
            self.joint_pool = AttentionPool(
                width, config.pool_queries, config.pool_width, config.embedding_dim, dropout
            )
        self.classifier = Classifier(config.embedding_dim, len(config.label_names))

    @classmethod
    def training_texts(cls, case: Case) -> tuple[str, ...]:
        # "Opacity, lung, base, left; Cardiomegaly": how people type a query.
        return (case.report, "; ".join(code.replace("/", ", ") for code in case.codes))

    def join(self, image: Encoding | None, text: Encoding | None) -> Tensor:
        mean = summed(image, text, self.config.film_weight)
        if not self.config.fusion_layers:
            return mean
        tokens, mask, _ = self.fusion(_tokens_of(image), _tokens_of(text))
        # Fusion corrects the mean of the modalities, so a joint vector lies near those of its own film and report.
        return normalise(mean + normalise(self.joint_pool(tokens, mask)))

    def null_tokens(self) -> tuple[Tensor, Tensor] | None:
        return (self.fusion.null_image, self.fusion.null_text) if self.config.fusion_layers else None

    def label_logits(self, vectors: Tensor) -> Tensor:
        logits: Tensor = self.classifier(vectors)
        return logits

    def cross_attention(self, image: Encoding, text: Encoding) -> CrossAttention:
        if not self.config.fusion_layers:
            return super().cross_attention(image, text)
        attention: CrossAttention = self.fusion(_tokens_of(image), _tokens_of(text))[2]
        return attention

    def fused_values(self) -> nn.Module | None:
        return self.joint_pool.value if self.config.fusion_layers else None

    def losses(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        has_film, has_text = batch.has_film, batch.has_text
        image = self.encode_images(batch.films[has_film]) if has_film.any() else None
        text = self.encode_texts(batch.texts_of(has_text)) if has_text.any() else None
        vectors = {name: one.vector for name, one in (("image", image), ("text", text)) if one is not None}
        rows = {"image": torch.nonzero(has_film)[:, 0], "text": torch.nonzero(has_text)[:, 0]}
        contrasted: dict[str, slice | Tensor] = {name: slice(None) for name in vectors}
        if self.config.fusion_layers and self.config.joint:
            # Whole modalities are dropped at random, so that fusion learns to do without either.
            both, luck = has_film & has_text, torch.rand(len(has_film), device=has_film.device)
            half = self.config.modality_dropout / 2
            order = _partly_swapped(both & (luck >= 2 * half), self.config.swapped_films)
            swapped = order != torch.arange(len(order), device=order.device)
            joint = join_cases(
                self,
                image and image.take(torch.searchsorted(rows["image"], order[has_film])),
                has_film,
                text,
                has_text,
                use_film=has_film & ~(both & (luck < half)),
                use_text=has_text & ~(both & (luck >= half) & (luck < 2 * half)),
            )
            rows["joint"] = torch.nonzero(has_film | has_text)[:, 0]
            vectors["joint"] = joint[rows["joint"]]
            # Made with another's film it is to be read as its report says, and not to lie near its own film.
            contrasted["joint"] = ~swapped[rows["joint"]]
        terms = {}
        for name, found in vectors.items():
            labels, known = batch.labels[rows[name]], batch.known[rows[name]]
            judged = mixed(self.label_logits(found), labels, known, self.config.focal_gamma, self.config.focal_mixing)
            terms[f"{name} labels"] = judged * (self.config.joint if name == "joint" else 1)
        if self.config.learns_regions and image is not None and batch.regions is not None:
            scores = self.image_tower.pool.scores(image.tokens)
            terms["regions"] = self.config.regions * region_loss(scores, batch.regions[has_film])
        if batch.queries is not None:
            terms |= self._query_terms(batch, batch.queries, text, rows["text"])
        case = torch.cat([rows[name][contrasted[name]] for name in vectors])
        terms["contrast"] = self.config.contrast * label_contrast(
            torch.cat([found[contrasted[name]] for name, found in vectors.items()]),
            batch.labels[case],
            batch.known[case],
            batch.group[case],
            case,
            self.config.contrast_temperature,
        )
        return terms

    def _query_terms(
        self, batch: Batch, queries: Queries, text: Encoding | None, text_rows: Tensor
    ) -> dict[str, Tensor]:
        """Labels that typed queries and their contraries speak of, and the likeness of both to the reports."""
        found = self.encode_texts([*queries.texts, *queries.contraries]).vector
        labels = torch.cat([queries.labels, queries.contrary_labels])
        known = torch.cat([queries.known, queries.contrary_known])
        judged = mixed(self.label_logits(found), labels, known, self.config.focal_gamma, self.config.focal_mixing)
        terms = {"query labels": self.config.queries * judged}
        of_case = queries.case >= 0
        if text is not None and of_case.any():
            stated = (queries.labels * queries.known)[of_case]
            absent = ((1 - batch.labels) * batch.known)[text_rows]
            terms["query contrast"] = self.config.queries * query_contrast(
                found[: len(queries.texts)][of_case],
                found[len(queries.texts) :][of_case],
                text.vector,
                torch.searchsorted(text_rows, queries.case[of_case]),
                stated @ absent.T > 0,
                self.config.contrast_temperature,
            )
        return terms


def _partly_swapped(may: Tensor, share: float) -> Tensor:
    """Whose film each case is fused with, [B]: `share` of those that `may` [B] change places among themselves."""
    order = torch.arange(len(may), device=may.device)
    if share:
        chosen = torch.nonzero(may & (torch.rand(len(may), device=may.device) < share))[:, 0]
        order[chosen] = chosen.roll(1)
    return order


def _tokens_of(encoding: Encoding | None) -> tuple[Tensor, Tensor] | None:
    return None if encoding is None else (encoding.tokens, encoding.mask)
