"""What measuring explanations found, as lines for the terminal."""

from __future__ import annotations

from typing import Any

from index_builder.evaluation.faithfulness.randomisation import PARTS

_NAME, _FIGURE = 30, 24

_WEIGHED = {"films": "regions of the film", "texts": "words of the text"}
_ASKED = {"finding": "why this finding", "likeness": "why like the nearest training case"}


def explanation_lines(result: dict[str, Any]) -> list[str]:
    """What `run.explanations` gave, line by line: means with 95 % intervals over patients."""
    synthetic = " (synthetic)" if result["synthetic"] else ""
    lines = [
        f"{result['system']} on {result['dataset']}{synthetic}, {result['modality']}, part {result['split']}: "
        f"{result['questions']} findings of {result['cases']} cases explained"
    ]
    for what, title in _WEIGHED.items():
        if what in result:
            lines += _weighed(result[what], title, result["checked"])
    return [*lines, *_labels(result), "", result["disclaimer"]]


def _weighed(block: dict[str, Any], title: str, checked: int) -> list[str]:
    lines: list[str] = []
    for asked, asking in _ASKED.items():
        methods = block[asked]
        if any("pointing" in one for one in methods.values()):
            lines += ["", _row(f"{title}, {asking}", "pointing, focal", "of these seen", "exactly, focal", "overlap")]
            lines += [_row(name, *_places(one)) for name, one in methods.items()]
        if methods:
            figures = ("deletion", "insertion", "deletion_gain", "insertion_gain")
            lines += ["", _row(f"{title}, {asking}", "deletion", "insertion", "below random", "above random")]
            lines += [_row(name, *(_figure(one.get(figure)) for figure in figures)) for name, one in methods.items()]
    if block["agreement"]:
        found = block["agreement"]
        lines += ["", f"attention and integrated gradients: Pearson {_figure(found['pearson'])}, "]
        lines[-1] += f"overlap of the top 5 % {_figure(found['top_5%'])}"
    lines += ["", _row(f"sanity ({checked} questions)", *(f"{part} shuffled" for part in PARTS))]
    for name, one in block["sanity"].items():
        verdict = "passes" if one["passes"] else "fails"
        lines.append(_row(name, *(_figure(one[part]) for part in PARTS), verdict))
    lines += ["", _row("stability", "repeated", "unseen noise")]
    lines += [
        _row(name, _figure(one["repeated"]), _figure(one.get("noise"))) for name, one in block["stability"].items()
    ]
    return lines


def _places(one: dict[str, Any]) -> list[str]:
    if "pointing" not in one:
        return []
    return [
        _figure(one["pointing"]["focal"]),
        _figure(one["pointing"]["seen"]),
        _figure(one["pointing_exact"]["focal"]),
        _figure(one["overlap"]["focal"]),
    ]


def _labels(result: dict[str, Any]) -> list[str]:
    rows = {label: one for label, one in result.get("labels", {}).items() if any(one["pointing"].values())}
    if not rows:
        return []
    methods = list(next(iter(rows.values()))["pointing"])
    return [
        "",
        _row("pointing by finding", *methods),
        *(
            _row(f"{label} ({one['questions']})", *(_figure(one["pointing"][method]) for method in methods))
            for label, one in rows.items()
        ),
    ]


def _row(name: str, *figures: str) -> str:
    return (f"{name:<{_NAME}}  " + "".join(f"{figure:<{_FIGURE}}" for figure in figures)).rstrip()


def _figure(found: dict[str, Any] | None) -> str:
    if found is None:
        return "–"
    span = found["interval"]
    return f"{found['mean']:.3f}" + (f" [{span[0]:.3f}, {span[1]:.3f}]" if span else "")
