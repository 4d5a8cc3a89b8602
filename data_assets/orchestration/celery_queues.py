"""Celery queues named after vendors: each machine's worker serves the queues of the vendors that it can reach.

Polygon's files come from anywhere, so every worker serves `polygon`; a terminal runs on one machine, so that one's
worker alone serves `theta` or `ib`. What is of no one vendor goes to the launcher's default queue.

Here: which queue a run goes to. Not here: how many runs of a vendor there may be at once (its pool), and the launcher.
"""

from __future__ import annotations

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG

from data_assets.orchestration.dagster_private import LaunchRunContext
from data_assets.orchestration.look_run import look_vendor


class VendorQueues(CeleryRunLauncher):
    """Dagster's launcher of runs on Celery workers, with a queue for each vendor.

    A run that has the tag `dagster-celery/queue` goes to that queue. Where it went stands in that tag afterwards, so
    that it is resumed there.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether a run lives is told by its heartbeat: of a task that a broker has forgotten Celery knows nothing."""
        return False

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send a run to the queue of its vendor."""
        run = context.dagster_run
        vendor = vendor_of(run)
        if vendor is not None and DAGSTER_CELERY_QUEUE_TAG not in run.tags:
            queue = {DAGSTER_CELERY_QUEUE_TAG: vendor}
            self._instance.add_run_tags(run.run_id, queue)
            context = context._replace(dagster_run=run.with_tags({**run.tags, **queue}))
        super().launch_run(context)


def vendor_of(run: dg.DagsterRun) -> str | None:
    """The vendor of the assets or checks that a run is of, or of the days that it looks at; None if it is not one."""
    keys = {*(run.asset_selection or ()), *(check.asset_key for check in run.asset_check_selection or ())}
    vendors = {key.path[0] for key in keys}
    if not vendors:
        return look_vendor(run.job_name)
    return vendors.pop() if len(vendors) == 1 else None
