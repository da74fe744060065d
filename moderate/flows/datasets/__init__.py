"""Open datasets out of Git repositories become objects of platform assets."""
