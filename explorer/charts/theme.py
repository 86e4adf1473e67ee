"""How figures of an evaluation look, on a light and on a dark ground."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import plotly.graph_objects as go

from explorer.charts.palette import CATEGORIES, REST

Scheme = Literal["light", "dark"]

FONT = "Source Sans, Source Sans Pro, Segoe UI, Helvetica, Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Look:
    """Colours of one ground.

    Attributes:
        ground: Behind a figure, the app's own background.
        text: Colour of words and numbers.
        line: Colour of grids and frames.
        rest: Colour of what is there for comparison: chance, other classes.
        series: Colours of what is compared, distinct with any colour vision.
        heat: From no case to all cases of a row.
    """

    ground: str
    text: str
    line: str
    rest: str
    series: tuple[str, ...]
    heat: tuple[str, str]


_LOOKS = {
    "light": Look(
        "#FBFCFD", "#17222C", "#D3DBE2", REST[0], tuple(light for light, _ in CATEGORIES), ("#F1F5F8", "#7DB7DD")
    ),
    "dark": Look(
        "#0F1419", "#DDE5EC", "#2C3742", "#76838E", tuple(dark for _, dark in CATEGORIES), ("#18212A", "#1B6496")
    ),
}


def look(scheme: Scheme) -> Look:
    """Colours of a scheme."""
    return _LOOKS[scheme]


@cache
def template(scheme: Scheme) -> go.layout.Template:
    """Plotly template of a scheme. Its ground is opaque, so that a saved SVG reads the same anywhere."""
    one = look(scheme)
    axis: dict[str, Any] = {
        "gridcolor": one.line,
        "linecolor": one.line,
        "zeroline": False,
        "automargin": True,
        "ticks": "",
        "title": {"standoff": 8},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": one.text},
            "paper_bgcolor": one.ground,
            "plot_bgcolor": one.ground,
            "colorway": list(one.series),
            "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
            "hoverlabel": {"font": {"family": FONT, "size": 13}, "align": "left"},
            "annotationdefaults": {"font": {"size": 12}, "showarrow": False},
            "dragmode": False,
            "hovermode": "closest",
        }
    )


def image_options(name: str) -> dict[str, Any]:
    """Plotly's configuration: one button, which saves the figure as SVG."""
    return {
        "displaylogo": False,
        "displayModeBar": True,
        "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {"format": "svg", "filename": name},
        "responsive": True,
    }
