"""Dataset to casebook: embed, index, calibrate, resume."""
