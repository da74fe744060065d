"""What becomes of good and of bad CSV files."""
