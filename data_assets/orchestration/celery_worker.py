"""The Celery application of a worker: Dagster's, with the broker of the environment.

    celery --app data_assets.orchestration.celery_worker worker --queues dagster,polygon --concurrency 2

`dagster-celery worker start` starts Celery below itself, and a signal ends it at once: in a container that ends all,
with a run in the middle of its days. It also hands several `--queue` on, of which Celery takes the last alone.

Here: the application. Not here: which queue a run goes to (`celery_queues`).
"""

from __future__ import annotations

import os

from dagster_celery.app import app

app.conf.update(
    broker_url=os.environ["CELERY_BROKER"],
    result_backend=os.environ["CELERY_BACKEND"],
    worker_disable_prefetch=True,  # or a run may wait behind another on one worker while another worker is free
    worker_prefetch_multiplier=1,
)
