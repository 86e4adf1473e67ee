"""Whether a film is one like those indexed: at all a chest film, upright, of full contrast, not too unlike the others."""
