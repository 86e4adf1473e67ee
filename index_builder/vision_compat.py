"""Make torchvision importable beside a CPU build of torch.

torchvision's wheels on the Python package index are built for CUDA torch. With a CPU torch their compiled operators
cannot load, and `import torchvision` - hence timm and every transformers vision model - dies with
`operator torchvision::nms does not exist`, because torchvision registers fake kernels for operators it assumes
are there. Declaring the two operator schemas is enough: nothing here ever calls them.

"""

from __future__ import annotations

import torch

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

#: Kept alive for the life of the process: dropping the Library object would withdraw the declarations.
_library: torch.library.Library | None = None


def ensure_torchvision_operators() -> None:
    """Declare torchvision's NMS operators when its own extension cannot load; otherwise do nothing."""
    global _library
    if _library is not None or _extension_loads():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _OPERATORS:
        library.define(schema)
    _library = library


def _extension_loads() -> bool:
    """Whether torchvision's compiled operators load into this torch, tried without importing torchvision."""
    import importlib.util
    from pathlib import Path

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # no torchvision: nothing will ask for its operators
    for extension in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(extension))
        except OSError:
            return False
    return True


ensure_torchvision_operators()
