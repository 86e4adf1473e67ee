"""Training of every system: cases in, checkpoint with model card out. `run.train` is the whole of it, step by step."""
