"""A market-data lake that fills itself: every dataset a Dagster asset, every trading day a partition."""
