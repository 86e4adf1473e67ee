"""A system's encoder: written as graphs (`export`), opened for builds and queries (`opening`), in PyTorch (`parts`)."""
