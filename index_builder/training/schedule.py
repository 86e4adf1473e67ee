"""How long and how hard to train."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Schedule(BaseModel):
    """Optimiser and length of training; each phase of a system runs one schedule.

    Attributes:
        epochs: At most, per phase.
        batch: Cases per step.
        learning_rate: Peak rate of all that is new: heads, towers, a pyramid (one cycle, AdamW).
        encoder_learning_rate: Peak rate of the pretrained encoders' trained stages.
        weight_decay: Weight decay of AdamW.
        views: Augmented views of each film, drawn once and met in turn, so that a frozen image encoder need look at
            each only once; 0: another view at every epoch.
        augmentation: How far a view is from its film, see `augment.weak_view` and `augment.strong_view`.
        average: Share of the running average of the weights that each step leaves; the average is what is validated
            and kept (Polyak averaging as by Tarvainen and Valpola 2017). 0: the weights as they are.
        validate_every: Epochs between validations.
        patience: Validations without improvement before a phase ends.
        seed: Seed of weights, order and augmentation.
        kept: Parts of the system that stay as they are: `image_encoder`, `image_tower`, `classifier`, …
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    encoder_learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    views: int = Field(default=0, ge=0)
    augmentation: Literal["weak", "strong"] = "weak"
    average: float = Field(default=0.0, ge=0, lt=1)
    validate_every: int = Field(default=1, ge=1)
    patience: int = Field(default=6, ge=1)
    seed: int = 0
    kept: tuple[str, ...] = ()
