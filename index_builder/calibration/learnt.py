"""Records of what a system has learnt of each label: on which data, from how many examples, and how well.

Travels with a checkpoint, and so with every casebook, as `learnt.json`. Older ones have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from index_builder.cases.space import SPACES, Space
from index_builder.errors import ModelError

FILE = "learnt.json"

#: With fewer validation cases with the label, or without it, a figure says too little: one case more or less on the
#: wrong side moves an AUROC by up to a tenth.
FEWEST_CASES = 10
#: So it does where its 95 % interval is wider than this, the distance from a guess (0.5) to what is called good (0.8).
WIDEST = 0.3
TOO_FEW = "too few to say"

SPACE_WORDS: dict[Space, str] = {"image": "film", "text": "text", "joint": "film and text"}


@dataclass(frozen=True, slots=True)
class Taught:
    """Training examples of a dataset that decide a label: films of a study, or a text without a film.

    Attributes:
        dataset: Its title.
        positives: Examples with the label.
        negatives: Examples without it.
    """

    dataset: str
    positives: int
    negatives: int


@dataclass(frozen=True, slots=True)
class Measured:
    """How well a label is predicted on the validation cases of a dataset that decide it, from one modality.

    Attributes:
        dataset: Its title.
        space: What the system was given.
        positives: Cases with the label.
        negatives: Cases without it.
        auroc: Area under the ROC curve; None where there is no case with the label, or none without.
        auroc_interval: 95 % interval of the AUROC, by resampling patients.
        ap: Average precision, None likewise.
    """

    dataset: str
    space: Space
    positives: int
    negatives: int
    auroc: float | None = None
    auroc_interval: tuple[float, float] | None = None
    ap: float | None = None

    @property
    def tells(self) -> bool:
        """Whether there are cases enough for the figure to say anything, see `FEWEST_CASES` and `WIDEST`."""
        if min(self.positives, self.negatives) < FEWEST_CASES or self.auroc_interval is None:
            return False
        low, high = self.auroc_interval
        return round(high - low, 4) <= WIDEST

    @property
    def words(self) -> str:
        """AUROC and interval, e.g. "0.86 [0.80, 0.91]", or that there are too few cases."""
        if not self.tells or self.auroc is None or self.auroc_interval is None:
            return TOO_FEW
        low, high = self.auroc_interval
        return f"{self.auroc:.2f} [{low:.2f}, {high:.2f}]"


@dataclass(frozen=True, slots=True)
class LearntLabel:
    """One label; a dataset is in `taught` where its training examples decide the label, present or not."""

    taught: tuple[Taught, ...] = ()
    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one dataset did for one label.

    Attributes:
        dataset: Its title.
        synthetic: Whether its films are drawn.
        taught: None: it only measured.
        measured: By modality.
    """

    dataset: str
    synthetic: bool
    taught: Taught | None
    measured: dict[Space, Measured]

    @property
    def positives(self) -> int:
        """Training examples with the label."""
        return 0 if self.taught is None else self.taught.positives

    @property
    def title(self) -> str:
        """The dataset, marked where its films are drawn."""
        return f"{self.dataset} (synthetic)" if self.synthetic else self.dataset


@dataclass(frozen=True, slots=True)
class Learnt:
    """The record of what a system has learnt, by label.

    Attributes:
        labels: Labels that anything is known of.
        synthetic: Titles of the datasets whose films are drawn.
    """

    labels: dict[str, LearntLabel] = field(default_factory=dict)
    synthetic: tuple[str, ...] = ()

    def evidence(self, label: str) -> tuple[Evidence, ...]:
        """Datasets with a case of the label, for training or validation: real ones first, then by training examples.

        A dataset that only taught that the label is absent is left out.
        """
        one = self.labels.get(label, LearntLabel())
        taught = {entry.dataset: entry for entry in one.taught}
        datasets = dict.fromkeys((*taught, *(entry.dataset for entry in one.measured)))
        found = [
            Evidence(
                dataset,
                dataset in self.synthetic,
                taught.get(dataset),
                {entry.space: entry for entry in one.measured if entry.dataset == dataset},
            )
            for dataset in datasets
        ]
        shown = [each for each in found if each.positives or any(one.positives for one in each.measured.values())]
        return tuple(sorted(shown, key=lambda each: (each.synthetic, -each.positives)))

    def after(self, before: Learnt | None, *, same_weights: bool) -> Learnt:
        """This record with what an earlier one of the same system adds.

        Of a dataset trained on twice the larger count stands. Figures of the earlier record are kept for datasets that
        were not measured again, but only where the weights are still the same.

        Args:
            before: The earlier record; None: there is none.
            same_weights: Whether its figures are of the very same weights.
        """
        if before is None:
            return self
        anew = {one.dataset for own in self.labels.values() for one in own.measured}
        labels = {}
        for name in dict.fromkeys((*before.labels, *self.labels)):
            old, new = before.labels.get(name, LearntLabel()), self.labels.get(name, LearntLabel())
            taught = {one.dataset: one for one in old.taught}
            for one in new.taught:
                earlier = taught.get(one.dataset)
                if earlier is None or _examples(earlier) <= _examples(one):
                    taught[one.dataset] = one
            kept = [one for one in old.measured if same_weights and one.dataset not in anew]
            labels[name] = LearntLabel(tuple(taught.values()), (*kept, *new.measured))
        return Learnt(labels, tuple(dict.fromkeys((*before.synthetic, *self.synthetic))))

    def save(self, folder: Path) -> None:
        """Write `learnt.json`."""
        (folder / FILE).write_bytes(_RECORD.dump_json(self, indent=1) + b"\n")


_RECORD = TypeAdapter(Learnt)


def read_learnt(folder: Path) -> Learnt | None:
    """Read what `Learnt.save` wrote; None where the system has no such record.

    Raises:
        ModelError: The file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return _RECORD.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        told = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{path}: damaged ({told}). Restore the file, or measure again: cxr-explorer learnt."
        ) from error


def dataset_title(title: str, kind: str, root: Path | None) -> str:
    """What a dataset is called: a folder of films has no name but its own."""
    return f"{root.name}, {title[0].lower()}{title[1:]}" if kind == "folder" and root is not None else title


def table_lines(learnt: Learnt, labels: Iterable[str]) -> list[str]:
    """A Markdown table of the labels, for model cards: a row per label and dataset."""
    return [
        "| label | data | training: with it | without | validation: with it | AUROC film | text | film and text |",
        "|---|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(cells)} |" for cells in table_cells(learnt, labels)),
    ]


def table_cells(learnt: Learnt, labels: Iterable[str]) -> Iterator[list[str]]:
    """Cells of each row of `table_lines`."""
    for label in labels:
        rows = learnt.evidence(label)
        if not rows:
            yield [label, "no example with it", *[""] * 6]
        for row in rows:
            without = 0 if row.taught is None else row.taught.negatives
            held = max((one.positives for one in row.measured.values()), default=None)
            figures = [row.measured[space].words if space in row.measured else "" for space in SPACES]
            counts = [f"{row.positives:,}", f"{without:,}", "not measured" if held is None else f"{held:,}"]
            yield [label, row.title, *counts, *figures]


def rule_words() -> str:
    """What "too few to say" means."""
    return (
        f"“{TOO_FEW[0].upper()}{TOO_FEW[1:]}”: fewer than {FEWEST_CASES} validation cases with the finding or without "
        f"it, or an interval wider than {WIDEST}, the distance from a guess (0.5) to a good test (0.8)."
    )


def _examples(taught: Taught) -> int:
    return taught.positives + taught.negatives
