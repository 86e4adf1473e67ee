"""Runs of training: read from JSON lines, sorted into a learning curve and ablations."""

from __future__ import annotations

from pathlib import Path

import pytest

from index_builder.errors import QueryError
from index_builder.evaluation.runs import FULL, RUNS_FILE, Run, ablations, learning_curve, read_runs, runs_beside


def run(variant: str, fraction: float, seed: int = 0, **figures: float) -> Run:
    return Run(
        system="mskpt", dataset="phantom-dust", variant=variant, fraction=fraction, training_cases=int(400 * fraction),
        seed=seed, figures=figures or {"AP": 0.5},
    )  # fmt: skip


def test_runs_survive_the_file(tmp_path: Path) -> None:
    runs = [run(FULL, 0.25, AP=0.25, accuracy=0.5), run("- GRA", 0.25, 1)]
    path = tmp_path / "runs.jsonl"
    path.write_text("\n\n".join(one.model_dump_json() for one in runs) + "\n", "utf-8")
    assert read_runs(path) == runs


def test_a_checkpoint_carries_the_runs_of_its_dataset(tmp_path: Path) -> None:
    assert runs_beside(tmp_path, "phantom-dust") == []
    mine, other = run(FULL, 0.25), run(FULL, 0.5).model_copy(update={"dataset": "nih"})
    (tmp_path / RUNS_FILE).write_text("\n".join(one.model_dump_json() for one in (mine, other)), "utf-8")
    assert runs_beside(tmp_path, "phantom-dust") == [mine]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no run"),
        ("{", "line 1: the line"),
        ('{"variant": "full"}', "line 1: system: Field required"),
        (run(FULL, 0.5).model_dump_json().replace("0.5,", "1.5,", 1), "line 1: fraction"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(content, "utf-8")
    with pytest.raises(QueryError, match=said):
        read_runs(path)
    with pytest.raises(QueryError, match="unreadable"):
        read_runs(tmp_path / "gone.jsonl")


def test_curve_and_ablations_are_told_apart() -> None:
    whole = [run(FULL, share, seed) for share in (1.0, 0.25, 0.5) for seed in (0, 1)]
    parts = [run(variant, 0.25) for variant in ("- GRA", "- PA")]
    assert [one.fraction for one in learning_curve([*whole, *parts])] == [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    assert {one.variant for one in ablations([*whole, *parts])} == {FULL, "- GRA", "- PA"}
    assert {one.fraction for one in ablations([*whole, *parts])} == {0.25}
    assert learning_curve(parts) == []
    assert ablations(whole) == []
    assert ablations([]) == []
