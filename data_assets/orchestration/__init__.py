"""All of Dagster but the components: assets, runs, recording, checks, partitions, liveness."""
