"""Dispatch of findings, and those of lungs and pleura. Every drawing returns the mask of what it drew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from index_builder.datasets.phantom.anatomy import LEFT, RIGHT
from index_builder.datasets.phantom.findings import opacities
from index_builder.datasets.phantom.findings import skeletal as skeletal_findings
from index_builder.datasets.phantom.findings import thoracic as thoracic_findings
from index_builder.datasets.phantom.findings.devices import DEVICES
from index_builder.datasets.phantom.scene import Mask, Scene
from index_builder.datasets.phantom.spec import ChestSpec, Finding, stream

Drawing = Callable[[Scene, Finding, int, np.random.Generator], Mask]

#: Drawings called once per side.
LATERAL: dict[str, Drawing] = {**opacities.LATERAL, **thoracic_findings.LATERAL, **skeletal_findings.LATERAL}
#: Drawings called once; their side, if any, is where they start from.
CENTRAL: dict[str, Drawing] = {**opacities.CENTRAL, **thoracic_findings.CENTRAL, **skeletal_findings.CENTRAL, **DEVICES}
#: What is on both sides unless a side is named.
SYMMETRIC = frozenset(
    {"oedema", "congestion", "prominent markings", "reticulation", "small opacities", "hilar enlargement"}
)


def with_sides(spec: ChestSpec, seed: int) -> ChestSpec:
    """Give every finding that was left without a side one from the seed."""
    findings = []
    for number, finding in enumerate(spec.findings):
        if not finding.side:
            if finding.site == "lingula" or finding.site == "retrocardiac":
                side = "left"
            elif finding.name in SYMMETRIC:
                side = "bilateral"
            else:
                side = "right" if stream(seed, f"side/{finding.name}/{number}").random() < 0.5 else "left"
            finding = replace(finding, side=side)
        findings.append(finding)
    return replace(spec, findings=tuple(findings))


def draw_findings(scene: Scene) -> dict[str, Mask]:
    """Draw all findings of the scene's spec (whose sides are set); name -> mask, in order of first mention."""
    masks: dict[str, Mask] = {}
    seen: dict[tuple[str, str, str], int] = {}
    for finding in scene.spec.findings:
        key = (finding.name, finding.site, finding.side)
        turn = seen[key] = seen.get(key, -1) + 1
        sides = {"right": (RIGHT,), "left": (LEFT,)}.get(finding.side, (RIGHT, LEFT))
        if finding.name in CENTRAL:
            drawing, sides = CENTRAL[finding.name], sides[:1]
        else:
            drawing = LATERAL[finding.name]
        for side in sides:
            # Severity is left out: the same finding grows in place.
            rng = stream(scene.seed, f"finding/{finding.name}/{finding.site}/{side}/{turn}")
            mask = drawing(scene, finding, side, rng)
            masks[finding.name] = masks[finding.name] | mask if finding.name in masks else mask
    return masks
