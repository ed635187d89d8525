"""Numerics of napari-axongen. Knows neither napari nor Qt."""
