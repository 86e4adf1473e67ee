"""What a system predicts of a few typed words: findings stated, denied, of the left and of the right.

    PYTHONPATH=tests python tests/benchmarks/typed_predictions.py CHECKPOINT [CHECKPOINT ...]

Of every Open-i class its findings (assets/report_terms.json, English names) are stated and denied in wordings that
training does not use. Prints for each system: the share of stated findings predicted (p >= 0.5), of denied ones not
predicted, the area under the ROC curve of the two, and the cosine of "left X" to "right X" and of "X" to "no X".
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from index_builder.cases.labels import OPENI_LABELS
from index_builder.facts.terms import report_terms
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.registry import load_system
from index_builder.training.queries import labels_of

_STATED = ("{}", "{} noted", "consistent with {}", "The film shows {}.", "patient with {} today")
_DENIED = (
    "no {}",
    "rule out {}",
    "{} has resolved",
    "There is no {} on this film.",
    "{} is no longer seen",
    "not showing {}",
    "clear of {}",
    "previous {} has completely resolved",
)


@torch.inference_mode()
def _vectors(system: RetrievalSystem, texts: list[str]) -> torch.Tensor:
    parts = [system.encode_texts(texts[start : start + 64]).vector for start in range(0, len(texts), 64)]
    return torch.cat(parts).float()


def _findings(labels: tuple[str, ...]) -> list[tuple[str, str]]:
    """(finding, label) of every finding that means one of the labels, but for `normal`."""
    pairs = []
    for name, term in report_terms().findings.items():
        meant = [label for label in labels_of(term) if label in OPENI_LABELS and label in labels]
        pairs += [(name, meant[0])] if meant and name != "normal" and not term.device else []
    return pairs


def _measure(folder: Path) -> None:
    system = load_system(folder)
    labels = system.config.label_names
    pairs = _findings(labels)
    shares, truth, scores = {}, [], []
    for kind, wordings in (("stated", _STATED), ("denied", _DENIED)):
        vectors = _vectors(system, [words.format(name) for name, _ in pairs for words in wordings])
        probabilities = system.label_probabilities(vectors)
        if probabilities is None:
            print(f"{folder.name}: has no classifier.")
            return
        columns = [labels.index(label) for _, label in pairs for _ in wordings]
        found = probabilities[torch.arange(len(columns)), columns].detach().numpy()
        shares[kind] = float(np.mean(found >= 0.5 if kind == "stated" else found < 0.5))
        truth += [kind == "stated"] * len(found)
        scores += found.tolist()
    left, right, plain, denied = (
        _vectors(system, [f"{word}{name}" for name, _ in pairs]) for word in ("left ", "right ", "", "no ")
    )
    print(
        f"{folder.name}: {len(pairs)} findings; stated predicted {shares['stated']:.3f}, denied not predicted "
        f"{shares['denied']:.3f}, AUROC {roc_auc_score(truth, scores):.3f}; cosine left-right "
        f"{float((left * right).sum(1).mean()):.3f}, X-no X {float((plain * denied).sum(1).mean()):.3f}"
    )
    for text, label in (
        ("no cardiomegaly", "Cardiomegaly"),
        ("cardiomegaly", "Cardiomegaly"),
        ("rule out fracture", "Fracture or Deformity"),
        ("fracture", "Fracture or Deformity"),
        ("atelectasis has resolved", "Atelectasis"),
        ("atelectasis", "Atelectasis"),
    ):
        told = system.label_probabilities(_vectors(system, [text]))
        assert told is not None
        print(f"  {text!r}: {label} {float(told.detach()[0, labels.index(label)]):.3f}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for place in sys.argv[1:]:
        _measure(Path(place))
