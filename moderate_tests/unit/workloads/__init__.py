"""Rules of the matrix profile workload's modules."""
