"""Joint vectors of batches in which some cases lack a modality, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from index_builder.systems.base import RetrievalSystem
from index_builder.systems.encoding import Encoding


def join_cases(
    system: RetrievalSystem,
    image: Encoding | None,
    has_film: Tensor,
    text: Encoding | None,
    has_text: Tensor,
    *,
    use_film: Tensor | None = None,
    use_text: Tensor | None = None,
) -> Tensor:
    """Join whatever each case has.

    Args:
        system: Does the joining.
        image: Encoding of the cases with a film, in order; None when there is none.
        has_film: [B] bool.
        text: Encoding of the cases with a text, in order; None when there is none.
        has_text: [B] bool.
        use_film: [B] bool, a subset of `has_film` that is joined in fact; all by default.
        use_text: The same of texts.

    Returns:
        [B, D] float32, zero where a case has (or uses) neither.
    """
    use_film = has_film if use_film is None else use_film
    use_text = has_text if use_text is None else use_text
    out = torch.zeros(len(has_film), system.config.embedding_dim, device=has_film.device)
    for film, worded in ((True, True), (True, False), (False, True)):
        wanted = (use_film == film) & (use_text == worded)
        if wanted.any():
            taken_image = image.take(wanted[has_film]) if film and image is not None else None
            taken_text = text.take(wanted[has_text]) if worded and text is not None else None
            out[wanted] = system.join(taken_image, taken_text).float()
    return out
