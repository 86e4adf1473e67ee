"""What rebuilds a system without its weights."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from index_builder.cases.space import Space


class SystemConfig(BaseModel):
    """What rebuilds a system without its weights. Systems extend it with their own fields.

    Attributes:
        trained_image_stages: How many of the image encoder's last stages are trained; -1 all, 0 none.
        pyramid_width: Width of tokens taken from the image encoder's last resolutions by a trained pyramid; 0: none.
        pyramid_levels, pyramid_blocks: Resolutions it merges, and convolution blocks after merging.
        trained_text_layers: How many of the text encoder's last layers are trained; -1 all, 0 none.
        embedding_dim: Width of vectors.
        token_dim: Width of tokens.
        pool_queries: What each modality's pooling looks for.
        pool_width: Numbers each query gathers.
        dropout: In pooling.
        label_names: Labels it was trained on.
        vote_neighbours: Cases that vote on a query's labels, chosen on validation data.
        vote_temperature: Of the softmax over similarity that weighs their votes, chosen on validation data.
        vote_temperatures: The same for queries of each modality. How near a label's cases lie differs: a profile tells
            less of a stage than a film. Configurations without them have the one for all.
        withheld: Methods of explanation by what is asked and what is read, which measured no better than a random order
            of regions or words (`cxr-explorer evaluate --explain`) and are not offered.
        encoder_digests: SHA-256 of the frozen parts of the encoders; empty before saving.
        portable: Whether the frozen parts' weights lie beside this configuration.
        image_architecture: What rebuilds the image encoder where its source is not at hand; set in portable copies.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    preset: str = "compact"
    image_encoder: str = "package:efficientnet-lite0"
    text_encoder: str = "package:minilm"
    image_size: int = 224
    trained_image_stages: int = 0
    pyramid_width: int = 0
    pyramid_levels: int = Field(default=2, ge=2)
    pyramid_blocks: int = Field(default=1, ge=1)
    trained_text_layers: int = 0
    embedding_dim: int = 256
    token_dim: int = 256
    pool_queries: int = 8
    pool_width: int = 64
    dropout: float = 0.2
    label_names: tuple[str, ...] = ()
    vote_neighbours: int = 10
    vote_temperature: float = 0.05
    vote_temperatures: dict[Space, float] = Field(default_factory=dict)
    withheld: dict[Literal["finding", "likeness"], dict[Space, tuple[str, ...]]] = Field(default_factory=dict)
    encoder_digests: dict[str, str] = Field(default_factory=dict)
    portable: bool = False
    image_architecture: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_former_fields(cls, given: Any) -> Any:
        """Casebooks of before 2026-12 name the one dataset whose answers were carried; theirs are long merged."""
        return (
            {name: value for name, value in given.items() if name != "held_out_dataset"}
            if isinstance(given, dict)
            else given
        )

    @property
    def learns_joint(self) -> bool:
        """Whether vectors of film and text together are trained, so that validation may judge by them."""
        return True

    @property
    def learns_regions(self) -> bool:
        """Whether the system's losses read where findings lie."""
        return False

    @property
    def learns_queries(self) -> bool:
        """Whether the system's losses read typed queries."""
        return False

    def temperature_of(self, space: Space) -> float:
        """Of the vote of a space's cases on queries of the same modality."""
        return self.vote_temperatures.get(space, self.vote_temperature)
