"""The retrieval systems. Their names are here so that they can be had without loading torch."""

#: Those that are trained, and shipped.
SYSTEMS = ("unified", "siclip", "mskpt")
#: Published encoders as they are, see `systems.frozen`.
FROZEN = "frozen"
