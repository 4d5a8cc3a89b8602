"""A bucket of daily flat files as Polygon keeps them."""
