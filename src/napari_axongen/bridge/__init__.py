"""Between napari and the core: layers to images, generators to jobs, preferences to settings."""
