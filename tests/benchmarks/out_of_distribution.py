"""How well the check of films tells what is no chest film, turned, lateral or unlike: with 95 % intervals.

    python tests/benchmarks/out_of_distribution.py CASEBOOK…

Per casebook, of films of its test part and of everything that is none of its films: AUROC of the distance against
images that are no chest films (`non_chest`), the share of each kind that is flagged, and the share of test films that
are flagged without cause. Test films are taken out of what films are compared with first. Laterals and films of the
other casebooks named show what a film of another projection or source meets. Intervals are bootstrapped by patient and
image.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
from non_chest import non_chest_images

from explorer.casebook import Casebook
from explorer.search.reading.film_report import FilmReport, examine, look
from index_builder.calibration.bootstrap import interval, resampled_weights
from index_builder.calibration.ranks import auroc_and_ap
from index_builder.film_check.check import TURNS, turned

#: Films that are turned, and films of each other casebook.
_SOME = 60


def main(folders: Sequence[str]) -> None:
    """Print the table of every casebook."""
    casebooks = [Casebook.open(folder) for folder in folders]
    images = non_chest_images()
    print(f"{len(images)} images that are no chest films: {dict(Counter(kind for kind, *_ in images))}")
    for casebook in casebooks:
        check = casebook.film_check
        if check is None:
            print(f"{casebook.name}: too few films to check")
            continue
        held_in = casebook.column("split")[check.rows] != "test"
        vars(casebook)["film_check"] = check.of_references(held_in)
        _measure(casebook, images, [other for other in casebooks if other is not casebook])


def _measure(casebook: Casebook, images: list[tuple[str, str, np.ndarray]], others: Sequence[Casebook]) -> None:
    rows = [row for row in _films(casebook) if casebook.column("split")[row] == "test"]
    patients = casebook.column("patient_id")[rows].tolist()
    films = [_pixels(casebook, row) for row in rows]
    reports = [_report(casebook, film) for film in films]
    print(f"\n{casebook.name}: {len(films)} test films of {len(set(patients))} patients")
    _share("flagged without cause", [bool(one.flags) for one in reports], patients)
    print("    " + ", ".join(f"{kind} {count}" for kind, count in _kinds(reports).items()))

    strange = [_report(casebook, pixels) for _, _, pixels in images]
    names = [name for _, name, _ in images]
    _share("no chest film: flagged", [bool(one.flags) for one in strange], names)
    plain = [one.flags[:1] and one.flags[0].kind in ("no chest film", "blank") for one in strange]
    _share("    and called no chest film", [bool(one) for one in plain], names)
    for kind in dict.fromkeys(kind for kind, *_ in images):
        found = [bool(report.flags) for report, (own, *_) in zip(strange, images, strict=True) if own == kind]
        print(f"    {kind}: {sum(found)} of {len(found)}")
    measured = [(one, name) for one, name in zip(strange, names, strict=True) if one.distance is not None]
    scores = np.array([one.distance for one in [*reports, *(one for one, _ in measured)]], float)
    truth = np.arange(len(scores)) >= len(reports)
    weights = resampled_weights(len(scores), groups=[*patients, *(name for _, name in measured)])
    auroc = auroc_and_ap(scores, truth, weights)[0]
    low, high = interval(auroc) or (np.nan, np.nan)
    print(f"  AUROC of the distance, test films against no chest films  {auroc[0]:.4f} [{low:.4f}, {high:.4f}]")

    for turn in TURNS[1:]:
        some = [_report(casebook, turned(film, turn)) for film in films[:_SOME]]
        _share(f"{turn}: flagged", [bool(one.flags) for one in some], patients[:_SOME])
        _share("    and rightly named", [one.turn == turn for one in some], patients[:_SOME])
    for other in others:
        views = other.column("view")
        for title, wanted in (("laterals", True), ("frontals", False)):
            some_rows = [row for row in _films(other) if (views[row] == "LATERAL") is wanted]
            some_rows = some_rows[:: max(1, len(some_rows) // _SOME)][:_SOME]
            if some_rows:
                found = [bool(_report(casebook, _pixels(other, row)).flags) for row in some_rows]
                _share(f"{title} of {other.name}: flagged", found, other.column("patient_id")[some_rows].tolist())


def _films(casebook: Casebook) -> list[int]:
    return [row for row, image in enumerate(casebook.table.column("image").to_pylist()) if image is not None]


def _pixels(casebook: Casebook, row: int) -> np.ndarray:
    reference = casebook.case(casebook.case_ids[row]).image
    assert reference is not None
    return casebook.film(reference).pixels


def _report(casebook: Casebook, pixels: np.ndarray) -> FilmReport:
    return examine(casebook, pixels, None, look(casebook.encoder, pixels))


def _kinds(reports: Sequence[FilmReport]) -> dict[str, int]:
    return dict(Counter(flag.kind for one in reports for flag in one.flags)) or {"none": 0}


def _share(name: str, found: Sequence[bool], groups: Sequence[str]) -> None:
    weights = resampled_weights(len(found), groups=groups)
    shares = weights @ np.array(found, float) / weights.sum(1)
    low, high = interval(shares) or (np.nan, np.nan)
    print(f"  {name:<56} {shares[0]:.3f} [{low:.3f}, {high:.3f}]  {sum(found)} of {len(found)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
