"""Texture for smooth fills: high frequencies of matching patches of the surroundings."""
