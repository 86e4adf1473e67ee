"""Readers of anyone's own films: a table beside them, or a folder for each class."""
