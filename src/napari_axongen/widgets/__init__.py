"""The docks: what a person sees."""
