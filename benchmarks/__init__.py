"""Every figure as a ratio, measured in one run: ``make bench``."""
