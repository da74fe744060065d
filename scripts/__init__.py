"""What the tasks run that belongs to no package."""
