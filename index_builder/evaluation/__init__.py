"""How good a system is: classification, calibration, retrieval and uncertainty, from arrays to plain dictionaries."""
