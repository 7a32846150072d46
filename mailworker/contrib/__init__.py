"""One package for each framework: what its users add to their program. Each imports its own framework, and no other."""
