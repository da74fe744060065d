"""The parts of the local stack, one module each."""
