"""What a committed command costs here, and what its like costs elsewhere. Its door is `benchmarks.peers.comparing`."""
