"""The result of an evaluation as a table for the terminal."""

from __future__ import annotations

from typing import Any

from index_builder.evaluation.task import FREQUENT

_CLASSIFICATION = {"auroc": "AUROC", "ap": "AP", "f1": "F1"}
_RETRIEVAL = {"p@5": "P@5", "mrr": "MRR", "ndcg@5": "nDCG@5", "map": "mAP"}
_NAME, _FIGURE, _INTERVAL = 34, 11, 22


def report_lines(result: dict[str, Any]) -> list[str]:
    """What `run.evaluate` gave, line by line: classes and macro average with 95 % intervals, retrieval with chance."""
    return [
        *_heading(result),
        *_classification(result),
        *_stages(result),
        *_calibration(result),
        *_conformal(result),
        *_retrieval(result),
        *_cross_modal(result),
        *_baselines(result),
        "",
        result["disclaimer"],
    ]


def _heading(result: dict[str, Any]) -> list[str]:
    synthetic = " (synthetic)" if result["synthetic"] else ""
    left_out = "".join(f"; {count} left out: {reason}" for reason, count in result["left_out_cases"].items())
    lines = [
        f"{result['system']} on {result['dataset']}{synthetic}, {result['modality']}, part {result['split']}: "
        f"{result['cases']} cases{left_out}"
    ]
    if result["split"] in ("val", "all"):
        lines.append(
            "Thresholds and temperature were chosen on cases that are scored here, so the figures are too good."
        )
    if result["split"] in ("train", "all"):
        lines.append("Training cases are scored, so the figures are too good.")
    return lines


def _classification(result: dict[str, Any]) -> list[str]:
    block = result["classification"]
    lines = ["", _row("classification", "positives", *_CLASSIFICATION.values())]
    for name, row in block["per_class"].items():
        figures = [_with_interval(row[metric], row[f"{metric}_interval"]) for metric in _CLASSIFICATION]
        lines.append(_row(name, str(row["positives"]), *figures))
    lines.append(_macro("macro", block))
    if frequent := result.get("classification_frequent"):
        lines.append(_macro(f"  {len(frequent['classes'])} classes of {FREQUENT}+ positives", frequent))
    if visible := result.get("classification_visible"):
        lines.append(_macro(f"  {len(visible['per_class'])} classes seen on the film", visible))
    return lines


def _stages(result: dict[str, Any]) -> list[str]:
    if "stages" not in result:
        return []
    stages, uncertainty = result["stages"], result["uncertainty"]
    lines = ["", f"accuracy {_with_interval(stages['accuracy'], stages['accuracy_interval'])}"]
    for name, row in zip(stages["per_class"], stages["confusion"], strict=True):
        lines.append(_row(f"{name} read as", *map(str, row), width=_FIGURE))
    ratio = _with_interval(uncertainty["ratio@0.8"], uncertainty["interval"]["ratio@0.8"])
    lines.append(
        f"error {_number(uncertainty['error'])}; answering the most confident 80 %: "
        f"{_number(uncertainty['error@0.8'])}, "
        f"ratio {ratio}"
    )
    return lines


def _calibration(result: dict[str, Any]) -> list[str]:
    before, after = (
        block.get("macro", block)["ece"] for block in (result["calibration"][when] for when in ("before", "after"))
    )
    temperature = result["calibration"]["temperature"]
    return ["", f"calibration error {_number(before)}; after temperature scaling ({temperature:.2f}) {_number(after)}"]


def _conformal(result: dict[str, Any]) -> list[str]:
    found = result["conformal"]
    if "per_stage" in found:
        covered = _with_interval(found["coverage"], found["interval"])
        return [
            f"sets of stages at {found['stated']:.0%}: coverage {covered}, mean size {found['size']:.2f}, "
            f"one stage in {found['single']:.0%}"
        ]
    kinds = []
    for kind in ("present", "absent"):
        block = found[kind]
        covered = _with_interval(block["coverage"], block["interval"])
        kinds.append(f"{kind} {covered}")
    return [
        f"sets at {found['stated']:.0%} of {found['findings']} findings: coverage when {', '.join(kinds)}; "
        f"decided {_number(found['decided'])}"
    ]


def _retrieval(result: dict[str, Any]) -> list[str]:
    lines = ["", _row("retrieval", "", *_RETRIEVAL.values())]
    for title, key in ((result["system"], "retrieval"), ("  by cosine alone", "retrieval_cosine")):
        if key in result:
            lines += _protocols(title, result[key])
    chance = {name: block["chance"] for name, block in result["retrieval"].items()}
    return lines + [
        _row("  chance", _arrow(name), *(_number(level.get(metric)) for metric in _RETRIEVAL))
        for name, level in chance.items()
    ]


def _protocols(title: str, blocks: dict[str, Any]) -> list[str]:
    return [
        _row(
            title,
            _arrow(name),
            *(_with_interval(block[metric], block["interval"].get(metric)) for metric in _RETRIEVAL),
        )
        for name, block in blocks.items()
    ]


def _cross_modal(result: dict[str, Any]) -> list[str]:
    if "cross_modal" not in result:
        return []
    found = result["cross_modal"]
    lines = ["", _row(f"of {found['pool']['pairs']} pairs", "", "recall@1", "recall@5", "recall@10")]
    for title, key in (("film to report", "image_to_report"), ("report to film", "report_to_image")):
        variants = {title: found[key]} | {
            f"{title}, {name.replace('_', ' ')}": found[key][name]
            for name in ("same_codes", "same_labels")
            if name in found[key]
        }
        for name, block in variants.items():
            figures = [
                f"{_number(block[metric])} (chance {_number(block['chance'][metric])})"
                for metric in ("recall@1", "recall@5", "recall@10")
            ]
            lines.append(_row(name, "", *figures))
        if ceiling := found[key].get("ceiling"):
            figures = [_number(ceiling[metric]) for metric in ("recall@1", "recall@5", "recall@10")]
            lines.append(_row(f"{title}, a perfect reader of codes", "", *figures))
    return lines


def _baselines(result: dict[str, Any]) -> list[str]:
    if "baselines" not in result:
        return []
    found = result["baselines"].values()
    lines = ["", _row("baselines, macro", "cases", *_CLASSIFICATION.values())]
    for one in (one for one in found if "classification" in one):
        lines.append(_macro(one["title"], one["classification"], count=True))
        if "classification_frequent" in one:
            lines.append(_macro(f"  classes of {FREQUENT}+ positives", one["classification_frequent"]))
        if "classification_visible" in one:
            lines.append(_macro("  classes seen on the film", one["classification_visible"]))
        if "stages" in one:
            stages = one["stages"]
            lines.append(f"  accuracy {_with_interval(stages['accuracy'], stages['accuracy_interval'])}")
    lines += ["", _row("baselines, retrieval", "", *_RETRIEVAL.values())]
    for one in (one for one in found if "retrieval" in one):
        lines += _protocols(one["title"], one["retrieval"])
    return lines


def _macro(name: str, block: dict[str, Any], *, count: bool = False) -> str:
    figures = [
        _with_interval(block["macro"].get(metric), block["macro_interval"].get(metric)) for metric in _CLASSIFICATION
    ]
    return _row(name, str(block["cases"]) if count else "", *figures)


def _row(name: str, first: str, *figures: str, width: int = _INTERVAL) -> str:
    return (f"{name:<{_NAME}}{first:>{_FIGURE}}  " + "".join(f"{figure:<{width}}" for figure in figures)).rstrip()


def _with_interval(value: float | None, interval: list[float] | None) -> str:
    return _number(value) + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _arrow(protocol: str) -> str:
    return protocol.replace("_to_", "→")
