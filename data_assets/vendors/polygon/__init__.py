"""Polygon.io (now Massive): US stocks from its flat files, one compressed CSV of minute aggregates a day."""
