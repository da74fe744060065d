"""What a soak breaks is broken: a fault that misses would prove nothing."""
