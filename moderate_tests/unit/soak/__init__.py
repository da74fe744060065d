"""What judges a soak must be able to find fault with it."""
