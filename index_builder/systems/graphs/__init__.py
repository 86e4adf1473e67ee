"""A system's encoder as graphs that ONNX Runtime runs: what builds and queries embed by. Knows nothing of PyTorch.

`running` writes the graphs beside the system's weights and opens them.
"""
