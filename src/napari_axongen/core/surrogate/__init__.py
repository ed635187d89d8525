"""Surrogate micrographs: parameters to geometry to grey values, with the exact answer."""
