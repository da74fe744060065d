"""Datasets on their way from real Git and LFS to the platform."""
