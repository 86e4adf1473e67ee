"""A system simple enough that every attribution can be worked out by hand."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from index_builder.systems.backbones.encoders import WordPiece
from index_builder.systems.base import CrossAttention, Encoding

SIZE, GRID, PATCH = 32, 4, 8
MASK = 1
WORDS = ("[PAD]", "[MASK]", "[CLS]", "[SEP]", "effusion", "no", "small", "left", ".")


class Patches(nn.Module):
    """Films [B, 32, 32] to the 64 pixels of each of 16 patches, [B, 16, 64]: what transformers call tokens."""

    def forward(self, films: Tensor) -> Tensor:
        cut = films.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH)
        return cut.reshape(len(films), GRID * GRID, PATCH * PATCH)


class Words(nn.Module):
    """Texts to embeddings of their words between [CLS] and [SEP]; words are cut into pieces of four letters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embeddings = nn.Embedding(len(WORDS) + 26, 6)
        self.tokenizer = SimpleNamespace(mask_token_id=MASK, pad_token_id=0)

    def pieces(self, texts: list[str]) -> list[list[WordPiece]]:
        found = []
        for text in texts:
            row = [WordPiece("[CLS]", 0, 0)]
            for word in re.finditer(r"\w+|[^\w\s]", text):
                for start in range(word.start(), word.end(), 4):
                    end = min(start + 4, word.end())
                    row.append(WordPiece(text[start:end], start, end))
            found.append([*row, WordPiece("[SEP]", 0, 0)])
        return found

    def forward(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        rows = [
            [2, *(4 + sum(map(ord, piece.text)) % 31 for piece in pieces if not piece.special), 3]
            for pieces in self.pieces(texts)
        ]
        longest = max(map(len, rows))
        numbers = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return self.embeddings(numbers), torch.tensor([[n < len(row) for n in range(longest)] for row in rows])


class Linear(nn.Module):
    """Log-odds of "Bright" are the inner product of the film with `weights`, plus that of the words with `tone`."""

    name = "linear"
    reads = "report"
    ranking = None

    def __init__(self, weights: NDArray[np.float32]) -> None:
        super().__init__()
        self.config = SimpleNamespace(image_size=SIZE, label_names=("Dark", "Bright"), embedding_dim=1)
        self.image_encoder, self.text_encoder = Patches(), Words()
        self.weights = nn.Parameter(Patches()(torch.from_numpy(weights)[None])[0])
        self.tone = nn.Parameter(torch.linspace(-1, 1, 6))

    def gathers(self, modality: str) -> bool:
        return True

    def encode_images(self, films: Tensor) -> Encoding:
        tokens = self.image_encoder(films)
        return Encoding(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool), self.image_tower(tokens).vector)

    def image_tower(self, tokens: Tensor) -> Encoding:
        vector = (tokens * self.weights).sum((1, 2))[:, None]
        return Encoding(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool), vector)

    def encode_texts(self, texts: list[str]) -> Encoding:
        return self.text_tower(*self.text_encoder(texts))

    def text_tower(self, tokens: Tensor, mask: Tensor) -> Encoding:
        return Encoding(tokens, mask, ((tokens @ self.tone) * mask).sum(1, keepdim=True))

    def join(self, image: Encoding, text: Encoding) -> Tensor:
        return image.vector + text.vector

    def label_log_odds(self, vectors: Tensor) -> Tensor:
        return torch.cat([-vectors, vectors], 1)

    def cross_attention(self, image: Encoding, text: Encoding) -> CrossAttention:
        raise NotImplementedError

    def image_stages(self) -> dict[str, nn.Module]:
        return {"patches": self.image_encoder}

    def word_pieces(self, texts: list[str]) -> list[list[WordPiece]]:
        return self.text_encoder.pieces(texts)


def linear() -> Any:
    """A `Linear` of random weights, in evaluation mode."""
    return Linear(np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)).eval()


def weights_of(system: Any) -> NDArray[np.float32]:
    """[32, 32]: the weights of a `Linear`, laid out as the film is."""
    patches = system.weights.detach().numpy().reshape(GRID, GRID, PATCH, PATCH)
    return patches.transpose(0, 2, 1, 3).reshape(SIZE, SIZE)


def film(size: int = SIZE, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((size, size)).astype(np.float32)
