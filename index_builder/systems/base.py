"""The seam every retrieval system fits: image, text or profile in, vectors of one space out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from errno import EIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from index_builder.calibration.held_out import Answers, read_answers, write_answers
from index_builder.calibration.learnt import Learnt, read_learnt
from index_builder.cases.profile import text_read
from index_builder.errors import ModelError
from index_builder.imaging import Framing, InputGeometry, encoder_geometry, encoder_input
from index_builder.reranking.ranking import Ranking
from index_builder.systems.backbones.encoders import ImageEncoder, TextEncoder, WordPiece, weights_digest
from index_builder.systems.config import SystemConfig
from index_builder.systems.encoding import CrossAttention, Encoding
from index_builder.systems.fusion import token_attention
from index_builder.systems.graphs.tokens import TEXT_FOLDER
from index_builder.systems.queries import Queries
from index_builder.systems.towers import Tower, summed

if TYPE_CHECKING:
    from index_builder.cases.case import Case

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
#: A dataset's name stands in the place of the star.
HELD_OUT_FILES = "held_out-*.safetensors"


@dataclass(frozen=True, slots=True)
class Batch:
    """Training cases.

    Attributes:
        films: [B, S, S] float32 in 0..1, weakly augmented; zero where a case has no film.
        strong: [B, S, S] float32, the same films strongly augmented; None where the phase does not ask for it.
        has_film: [B] bool.
        texts: B strings, empty where a case has no text.
        labels: [B, C] float32, 1 where the case carries the label.
        known: [B, C] bool, labels that the case's dataset decides; the others are unknown, not absent.
        group: [B] int64, number of the dataset; labels of different datasets are not compared.
        regions: [B, C, R, R] float32, share of each cell of the film that a label's finding covers; NaN where nobody
            says where it lies. None: of no case anybody does.
        queries: Typed queries about the cases; None where the system does not learn from any.
    """

    films: Tensor
    strong: Tensor | None
    has_film: Tensor
    texts: list[str]
    labels: Tensor
    known: Tensor
    group: Tensor
    regions: Tensor | None = None
    queries: Queries | None = None

    @property
    def has_text(self) -> Tensor:
        """[B] bool."""
        return torch.tensor([bool(text) for text in self.texts], device=self.labels.device)

    def texts_of(self, rows: Tensor) -> list[str]:
        """Texts of the cases that `rows`, [B] bool, names."""
        return [text for text, wanted in zip(self.texts, rows.tolist(), strict=True) if wanted]


class RetrievalSystem(nn.Module, ABC):
    """Encoders of one published system, and for each modality a tower that leads into the space all share.

    All vectors live in one space, so any modality can be compared with any other. A system differs from another
    only in its fusion, losses and predictions; training, embedding, evaluation and search know this class alone.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[SystemConfig]]
    #: Where the trained weights lie that a plug-in's package brings; None: none, or a system of ours.
    checkpoint: ClassVar[Path | None] = None
    #: Phases of training in order; `losses` is told which one is on.
    phases: ClassVar[tuple[str, ...]] = ("fit",)
    #: Phases whose batches carry a strong view of each film.
    strong_phases: ClassVar[tuple[str, ...]] = ()
    #: Whether a build fits a classifier of the dataset's labels, and the vote, on the casebook's own vectors.
    learns_from_casebook: ClassVar[bool] = False
    #: Whether a graph of findings is embedded after training, to reorder search results by.
    reranks: ClassVar[bool] = False
    #: What `text_of` takes from a case.
    reads: ClassVar[Literal["report", "profile"]] = "report"
    config: SystemConfig
    image_encoder: ImageEncoder
    #: None: the system reads films alone.
    text_encoder: TextEncoder | None
    #: Those with their own pooling (`gathers`) have no towers.
    image_tower: Tower
    text_tower: Tower
    #: How search results are reordered by findings; None: by similarity alone.
    ranking: Ranking | None = None
    #: What it has learnt of each label; None: nobody recorded it.
    learnt: Learnt | None = None

    def __init__(self, config: SystemConfig, *, pretrained: bool = True, text_folder: Path | None = None) -> None:
        """Build encoders and towers; subclasses add what is their own.

        Args:
            config: What to build.
            pretrained: Load the encoders' weights from their source; otherwise the caller loads them afterwards.
            text_folder: Where architecture and tokenizer of the text encoder lie, instead of its source.
        """
        super().__init__()
        self.config = config
        #: The classifier's answers on validation cases of each dataset it was trained on, by kind of the dataset.
        self.held_out: dict[str, Answers] = {}
        self.open_encoders(pretrained=pretrained, text_folder=text_folder)

    def open_encoders(self, *, pretrained: bool, text_folder: Path | None) -> None:
        """Set encoders and towers, arguments as of the constructor."""
        config = self.config
        self.image_encoder = ImageEncoder(
            config.image_encoder,
            config.image_size,
            pretrained=pretrained,
            trained_stages=config.trained_image_stages,
            pyramid_width=config.pyramid_width,
            pyramid_levels=config.pyramid_levels,
            pyramid_blocks=config.pyramid_blocks,
            architecture=config.image_architecture,
        )
        self.text_encoder = TextEncoder(
            config.text_encoder, pretrained=pretrained, trained_layers=config.trained_text_layers, folder=text_folder
        )
        pool = (config.pool_queries, config.pool_width, config.embedding_dim, config.dropout)
        self.image_tower = Tower(self.image_encoder.dim, config.token_dim, *pool)
        self.text_tower = Tower(self.text_encoder.dim, config.token_dim, *pool)

    @property
    def theta(self) -> float | None:
        """A prediction more uncertain than this, 1 - max p, is not reliable; None: the system sets no threshold.

        A system that sets one has it as `config.theta`, chosen once training is over.
        """
        return None

    @classmethod
    def text_of(cls, case: Case) -> str:
        """The text this system reads of a case; empty when it has none."""
        return text_read(case, cls.reads)

    def read(self, case: Case) -> str:
        """What `text_of` gives; empty where the system reads films alone."""
        return self.text_of(case) if self.text_encoder is not None else ""

    @property
    def framing(self) -> Framing | None:
        """How films become squares; None: as all films are prepared that systems are trained on."""
        return None

    def prepare(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """A film [H, W] as `encode_images` reads it, [S, S] float32 in 0..1, S = `config.image_size`."""
        return encoder_input(pixels, self.config.image_size, self.framing)

    def geometry(self, pixels: NDArray[np.float32]) -> InputGeometry:
        """Where the film lies in what `prepare` gives."""
        return encoder_geometry(pixels, self.config.image_size, self.framing)

    def gathers(self, modality: Literal["image", "text"]) -> bool:
        """Whether a vector is pooled from patches or words by the tower's `pool`, which then can be explained."""
        return True

    @classmethod
    def training_texts(cls, case: Case) -> tuple[str, ...]:
        """Wordings of a case to train on, the one of `text_of` first."""
        return (cls.text_of(case),)

    def encode_images(self, films: Tensor) -> Encoding:
        """Encode films.

        Args:
            films: [B, S, S] float32 in 0..1 as `prepare` gives them, S = `config.image_size`.
        """
        return self.look(films)[0]

    def look(self, films: Tensor) -> tuple[Encoding, Tensor]:
        """The same, and [B, F] what the image backbone alone saw, before anything was trained on top of it."""
        tokens, features = self.image_encoder.look(films)
        encoding: Encoding = self.image_tower(tokens)
        return encoding, features

    def encode_texts(self, texts: list[str]) -> Encoding:
        """Encode reports, queries or profile sentences, each a non-empty string."""
        assert self.text_encoder is not None, "systems without a text encoder refuse texts"
        return self.encode_tokens(self.text_encoder.tokenize(texts))

    def encode_tokens(self, inputs: Sequence[Tensor]) -> Encoding:
        """The same of what `text_encoder.tokenize` gives."""
        assert self.text_encoder is not None, "systems without a text encoder refuse texts"
        numbers, mask = inputs
        encoding: Encoding = self.text_tower(self.text_encoder.tokens((numbers, mask)), mask.bool())
        return encoding

    def null_tokens(self) -> tuple[Tensor, Tensor] | None:
        """What stands in for a missing film and a missing text, [1, d] each, where `join` looks at tokens.

        None where it looks at vectors alone.
        """
        return None

    def join(self, image: Encoding | None, text: Encoding | None) -> Tensor:
        """Joint vector of cases with either or both modalities, [B, D] float32, L2-normalised.

        Their normalised sum, unless a system fuses them.
        """
        return summed(image, text)

    @abstractmethod
    def label_logits(self, vectors: Tensor) -> Tensor | None:
        """Logits per label of `config.label_names` for vectors [B, D] of the shared space: [B, C] float32.

        None where the system has no classifier and predicts by the vote of neighbours alone.
        """

    def label_probabilities(self, vectors: Tensor) -> Tensor | None:
        """Probability of each label, [B, C] float32: labels are independent unless a system says otherwise."""
        logits = self.label_logits(vectors)
        return None if logits is None else logits.float().sigmoid()

    def label_log_odds(self, vectors: Tensor) -> Tensor | None:
        """Log-odds of each label, [B, C] float32, None without a classifier: what an explanation of a label explains.

        Unlike a probability or its logarithm they go on growing where a label is all but certain.
        """
        return self.label_logits(vectors)

    def cross_attention(self, image: Encoding, text: Encoding) -> CrossAttention:
        """How words look at patches and patches at words, of cases with both modalities.

        Likeness of tokens, unless a system learns attention. Where no loss aligns tokens (siclip) it was not taught.
        """
        return token_attention(image.tokens, image.mask, text.tokens, text.mask)

    def fused_values(self) -> nn.Module | None:
        """Layer that gives what the joint vector's queries gather, [B, P + L, g], patches before words.

        None where film and text are not fused but meet as vectors alone.
        """
        return None

    @abstractmethod
    def losses(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        """Named terms whose sum is minimised in a phase of training."""

    def begin_phase(self, phase: str, batches: Iterable[Batch]) -> None:
        """Called before a phase of training with its training cases, not augmented."""

    def image_stages(self) -> Mapping[str, nn.Module]:
        """Stages of the image encoder by name, first to last: what Grad-CAM can hook."""
        return self.image_encoder.stages

    def word_pieces(self, texts: list[str]) -> list[list[WordPiece]]:
        """The pieces that the tokens of `encode_texts` stand for, padding left out."""
        return [] if self.text_encoder is None else self.text_encoder.pieces(texts)

    def save(self, folder: Path, *, portable: bool) -> None:
        """Write config, weights in half precision and, if portable, the tokenizer.

        Half precision changes no neighbour that matters and halves what is copied beside every casebook.

        Args:
            folder: Created if missing.
            portable: Include the encoders' frozen parts, so that the folder needs nothing else. Otherwise only
                trained weights are written and the frozen parts are named by source and digest.
        """
        folder.mkdir(parents=True, exist_ok=True)
        digests = {name: weights_digest(one, _frozen_names(one)) for name, one in self._encoders().items()}
        architecture = self.image_encoder.architecture if portable else None
        config = self.config.model_copy(
            update={"encoder_digests": digests, "portable": portable, "image_architecture": architecture}
        )
        kept = self.stored_names(portable)
        weights = {
            name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
            for name, tensor in self.state_dict().items()
            if name in kept
        }
        try:
            save_file(weights, folder / WEIGHTS_FILE)
        except SafetensorError as error:
            raise OSError(EIO, f"cannot be written ({error})", str(folder / WEIGHTS_FILE)) from error
        if portable and self.text_encoder is not None:
            self.text_encoder.save_configuration(folder / TEXT_FOLDER)
        if self.ranking is not None:
            self.ranking.save(folder)
        for dataset, answers in self.held_out.items():
            write_answers(answers, held_out_file(folder, dataset))
        if self.learnt is not None:
            self.learnt.save(folder)
        (folder / CONFIG_FILE).write_text(config.model_dump_json(indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open what `save` wrote.

        Raises:
            ModelError: A file is missing or damaged, or the encoders are not those the heads were trained on.
        """
        try:
            config = cls.config_class.model_validate(json.loads((folder / CONFIG_FILE).read_text("utf-8")))
            weights = load_file(folder / WEIGHTS_FILE)
        except (OSError, ValueError, ValidationError, SafetensorError) as error:
            raise ModelError(f"{folder}: damaged system ({error}). Restore its files or rebuild.") from error
        text_folder = folder / TEXT_FOLDER if config.portable else None
        system = cls(config, pretrained=not config.portable, text_folder=text_folder)
        wanted = system.stored_names(config.portable)
        expected = {name: tensor.shape for name, tensor in system.state_dict().items() if name in wanted}
        found = {name: tensor.shape for name, tensor in weights.items()}
        if misfits := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
            raise ModelError(f"{folder}: weights do not fit the configuration ({misfits[0]}). Restore both or rebuild.")
        system.load_state_dict(weights, strict=config.portable)
        system.ranking = Ranking.load(folder)
        system.learnt = read_learnt(folder)
        before, after = HELD_OUT_FILES.split("*")
        system.held_out = {
            path.name.removeprefix(before).removesuffix(after): read_answers(path)
            for path in sorted(folder.glob(HELD_OUT_FILES))
        }
        if not config.portable:
            for name, digest in config.encoder_digests.items():
                encoder = getattr(system, name)
                if weights_digest(encoder, _frozen_names(encoder)) != digest:
                    raise ModelError(
                        f"{folder}: trained on other weights of {name} than those installed. "
                        "Install the versions in constraints.txt, or train again."
                    )
        return system

    def stored_names(self, portable: bool) -> set[str]:
        """State entries that `save` writes: all, or those that training changes."""
        names = set(self.state_dict())
        if not portable:
            for encoder, module in self._encoders().items():
                names -= {f"{encoder}.{name}" for name in _frozen_names(module)}
        return names

    def _encoders(self) -> dict[str, ImageEncoder | TextEncoder]:
        found: dict[str, ImageEncoder | TextEncoder | None] = {
            "image_encoder": self.image_encoder,
            "text_encoder": self.text_encoder,
        }
        return {name: one for name, one in found.items() if one is not None}


def held_out_file(folder: Path, dataset: str) -> Path:
    """Where the answers on validation cases of a dataset, by its kind, lie in a system's folder."""
    return folder / HELD_OUT_FILES.replace("*", dataset)


def _frozen_names(encoder: ImageEncoder | TextEncoder) -> set[str]:
    """State entries of an encoder that training leaves as their source gave them."""
    frozen: set[str] = set()
    for prefix, module in encoder.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if not any(parameter.requires_grad for parameter in own.values()):
            entries = {*own, *dict(module.named_buffers(recurse=False))}
            frozen |= {f"{prefix}.{name}" if prefix else name for name in entries}
    return frozen & set(encoder.state_dict())
