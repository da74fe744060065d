"""How each client reads what its peer says."""
