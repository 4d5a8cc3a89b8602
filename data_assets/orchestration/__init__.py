"""All of Dagster but the components: assets, runs, recording, checks, partitions, liveness."""

import warnings

import dagster as dg

# Backfill policies are beta and partitioned checks a preview in Dagster 1.13; the tests hold what is used of them.
# Here, for whoever loads blocks: the code location, every command, and `add`, which loads them before anything else.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
