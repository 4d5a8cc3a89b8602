"""One folder per data vendor, each with the same files: client (wire), schema (columns), day (one day), component (assets)."""
