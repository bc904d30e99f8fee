"""Measurements: what `./dev bench` prints, and the ones that decisions rest on. Run from the root of the repository."""
