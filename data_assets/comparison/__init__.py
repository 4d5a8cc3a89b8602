"""Vendors held against each other: datasets made of what two others hold of the same day."""
