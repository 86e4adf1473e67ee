"""The casebook artifact: its manifest, its files, and how they are written and opened."""
