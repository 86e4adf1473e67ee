"""The fuzz tests make their files with the samples of the readers' tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "index_builder"))
