"""Vectors of the findings graph: related nodes near, same seed same vectors, no trace left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from places import ROOT

from index_builder.errors import InstallationError, ModelError
from index_builder.reranking.findings_graph import FindingsGraph, Node, Triple
from index_builder.reranking.node_vectors import GraphMethod, embed_graph

pytestmark = pytest.mark.filterwarnings("ignore:Training instances are always shuffled:DeprecationWarning")


def two_islands() -> FindingsGraph:
    """Classes A, B share findings f, g and a site; so do C, D with h, i and another. Nothing ties the islands."""
    triples = []
    for classes, findings, site in (("AB", "fg", "lung"), ("CD", "hi", "spine")):
        for finding in findings:
            for name in classes:
                triples.append(Triple(Node("finding", finding), "is_a", Node("class", name), 9))
            triples.append(Triple(Node("finding", finding), "located_at", Node("site", site), 9))
        triples.append(Triple(Node("class", classes[0]), "co_occurs_with", Node("class", classes[1]), 9))
    nodes = [*(Node("class", name) for name in "ABCD"), *(Node("finding", name) for name in "fghi")]
    nodes += [Node("site", "lung"), Node("site", "spine")]
    return FindingsGraph(tuple(nodes), (9,) * len(nodes), tuple(triples), 20)


def related_and_unrelated(vectors: NDArray[np.float32]) -> tuple[float, float]:
    cosine = vectors @ vectors.T
    return min(cosine[0, 1], cosine[2, 3]), cosine[:2, 2:4].max()


@pytest.mark.parametrize("method", ["transe", "compgcn"])
def test_related_classes_lie_nearer_than_unrelated(method: GraphMethod) -> None:
    pytest.importorskip("pykeen", reason="pykeen, of the extra `train`, is not installed")
    vectors = embed_graph(two_islands(), method, dim=16, epochs=100)
    assert vectors.shape == (10, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    related, unrelated = related_and_unrelated(vectors)
    assert related > unrelated + 0.2


@pytest.mark.parametrize("method", ["transe", "compgcn"])
def test_the_seed_decides_and_the_random_state_of_others_is_left_alone(method: GraphMethod) -> None:
    pytest.importorskip("pykeen", reason="pykeen, of the extra `train`, is not installed")
    import torch

    first = embed_graph(two_islands(), method, dim=8, epochs=3, seed=1)
    np.random.seed(7)
    torch.manual_seed(7)
    torch_before = torch.get_rng_state()
    again = embed_graph(two_islands(), method, dim=8, epochs=3, seed=1)
    np.testing.assert_array_equal(first, again)
    assert np.random.random() == np.random.RandomState(7).random()
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert not np.array_equal(first, embed_graph(two_islands(), method, dim=8, epochs=3, seed=2))


def test_a_graph_without_triples_is_refused() -> None:
    with pytest.raises(ModelError, match="no triple"):
        embed_graph(FindingsGraph((Node("class", "Stage 1"),), (4,), (), 4), "transe")


def test_missing_pykeen_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pykeen"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pykeen", None)
    monkeypatch.setenv("PYSTOW_HOME", "/somewhere")
    monkeypatch.delenv("PYKEEN_HOME", raising=False)
    with pytest.raises(InstallationError, match=r"pip install 'cxr-explorer\[train\]'"):
        embed_graph(two_islands(), "transe")
    assert os.environ["PYSTOW_HOME"] == "/somewhere"
    assert "PYKEEN_HOME" not in os.environ


def test_nothing_is_written_to_home_or_printed(tmp_path: Path) -> None:
    pytest.importorskip("pykeen", reason="pykeen, of the extra `train`, is not installed")
    home, scratch, work = (tmp_path / name for name in ("home", "scratch", "work"))
    for folder in (home, scratch, work):
        folder.mkdir()
    program = (
        "from test_node_vectors import two_islands\n"
        "from index_builder.reranking.node_vectors import embed_graph\n"
        "embed_graph(two_islands(), 'transe', dim=8, epochs=1)\n"
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYSTOW", "PYKEEN", "XDG"))
    }
    environment |= {
        "HOME": str(home),
        "TMPDIR": str(scratch),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests" / "samples"), str(Path(__file__).parent))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=work, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path for folder in (home, scratch, work) for path in folder.rglob("*")] == []
