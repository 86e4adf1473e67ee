"""How right the app's predictions are: calibration of classifier and vote, and what their disagreement marks.

    python tests/benchmarks/calibrated_predictions.py CASEBOOK…

Films of the test part are asked about as if they were new: none of their own patient votes. Everything the app
calibrates with comes from the validation part. ECE and Brier score are means over findings (stages: of the likeliest).
"""

from __future__ import annotations

import sys

import numpy as np

from explorer.casebook import Casebook
from explorer.prediction.assessment import DISAGREEMENT, assess
from explorer.prediction.scores import Scores, Voted, classified
from index_builder.calibration.bootstrap import interval, resampled_weights
from index_builder.calibration.held_out import SOURCES, Source
from index_builder.calibration.temperature import expected_calibration_error, reliability
from index_builder.calibration.voting import vote
from index_builder.cases.space import Space

_SPACE: Space = "image"


def main(folder: str) -> None:
    """Print the figures of one casebook."""
    casebook = Casebook.open(folder)
    record = casebook.manifest.system
    vectors = casebook.vectors(_SPACE).astype(np.float32)
    patients = casebook.column("patient_id")
    rows = np.flatnonzero((casebook.column("split") == "test") & casebook.has_vector(_SPACE))
    truth = casebook.label_matrix[rows]
    plain, calibrated = ({source: np.full(truth.shape, np.nan) for source in SOURCES} for _ in range(2))
    again: dict[Source, list[bool]] = {source: [] for source in SOURCES}
    names = casebook.label_names
    for number, row in enumerate(rows):
        similarity = np.where(
            casebook.has_vector(_SPACE) & (patients != patients[row]), vectors @ vectors[row], -np.inf
        )
        found = vote(similarity[None], casebook.label_matrix, record.vote_neighbours, record.temperature_of(_SPACE))
        shares = dict(zip(names, found.probabilities[0].tolist(), strict=True))
        said = Scores(_SPACE, _SPACE, Voted(shares, {}, record.vote_neighbours), classified(casebook, vectors[row]))
        plain["vote"][number] = [shares[name] for name in names]
        if said.classified is not None:
            plain["classifier"][number] = [said.classified.probabilities.get(name, np.nan) for name in names]
        told = assess(casebook, said)
        for column, name in enumerate(names):
            for one in (one for one in told.findings if one.label == name):
                calibrated["vote"][number, column] = one.vote.probability
                if one.classifier is not None:
                    calibrated["classifier"][number, column] = one.classifier.probability
            for reading in told.readings:
                calibrated[reading.source][number, column] = reading.probabilities[name]
        for reading in told.readings:
            again[reading.source].append(bool(reading.read_again))
    print(f"{casebook.name}: {len(rows)} test films")
    groups = patients[rows].tolist()
    for source in SOURCES:
        for title, values in ((f"{source}, as it came", plain[source]), (f"{source}, calibrated", calibrated[source])):
            if not np.isnan(values).all():
                _calibration(title, values, truth, staged=casebook.staged)
        if again[source]:
            _answered(source, calibrated[source], truth, np.array(again[source]), groups)
    if not casebook.staged and not np.isnan(calibrated["classifier"]).all():
        _disagreement(calibrated["classifier"], calibrated["vote"], truth, groups)


def _calibration(title: str, values: np.ndarray, truth: np.ndarray, *, staged: bool) -> None:
    if staged:
        right = values.argmax(1) == truth.argmax(1)
        error = expected_calibration_error(reliability(values.max(1), right))
        brier = float(((values - truth) ** 2).sum(1).mean())
    else:
        columns = np.flatnonzero(~np.isnan(values).any(0))
        error = float(
            np.mean([expected_calibration_error(reliability(values[:, one], truth[:, one])) for one in columns])
        )
        brier = float(((values[:, columns] - truth[:, columns]) ** 2).mean())
    print(f"  {title:<28} ECE {error:.3f}  Brier {brier:.4f}")


def _answered(source: str, values: np.ndarray, truth: np.ndarray, again: np.ndarray, groups: list[str]) -> None:
    """Error among the films that need not be read again."""
    wrong = values.argmax(1) != truth.argmax(1)
    weights = resampled_weights(len(wrong), groups=groups)
    with np.errstate(invalid="ignore"):
        error = (weights @ (wrong & ~again)) / (weights @ ~again)
    low, high = interval(error) or (np.nan, np.nan)
    print(
        f"  {source}: error {wrong.mean():.3f}; answered {np.mean(~again):.3f}, of these wrong {error[0]:.3f} "
        f"[{low:.3f}, {high:.3f}]"
    )


def _disagreement(classifier: np.ndarray, voted: np.ndarray, truth: np.ndarray, groups: list[str]) -> None:
    """How often the classifier errs where it is flagged, and elsewhere."""
    columns = np.flatnonzero(~np.isnan(classifier).any(0))
    classifier, voted, truth = classifier[:, columns], voted[:, columns], truth[:, columns]
    flagged = np.abs(classifier - voted) >= DISAGREEMENT
    wrong = (classifier >= 0.5) != truth
    weights = resampled_weights(len(truth), groups=groups)
    print(f"  disagreement of {DISAGREEMENT}: {flagged.mean():.3f} of findings, {flagged.any(1).mean():.3f} of films")
    for title, kept in (("flagged", flagged), ("not flagged", ~flagged)):
        with np.errstate(invalid="ignore"):
            error = (weights @ (wrong & kept).sum(1)) / (weights @ kept.sum(1))
        low, high = interval(error) or (np.nan, np.nan)
        print(f"    classifier wrong where {title:<12} {error[0]:.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        main(argument)
