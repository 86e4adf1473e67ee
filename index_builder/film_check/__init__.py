"""Whether a film is like those indexed: a chest film at all, upright, not inverted, not too unlike the others."""
