"""The retrieval systems. Their names are here so that they can be had without loading torch."""

SYSTEMS = ("unified", "siclip", "mskpt")
