"""Maps of a space: neighbours, layouts in two or three dimensions, clusters, and how far each map can be trusted."""
