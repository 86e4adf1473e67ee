"""Published encoders: how they are found, opened, cut into stages and run."""
