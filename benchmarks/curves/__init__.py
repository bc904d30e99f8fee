"""How figures grow with the work: curves, drawn and as numbers. Its door is `benchmarks.curves.measuring`."""
