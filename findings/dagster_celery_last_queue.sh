#!/usr/bin/env bash
# dagster-celery 0.29.27 with Celery 5.7.0: of several --queue of a worker, the last alone is served, and nothing is said.
#
# One would guess: `dagster-celery worker start --queue theta --queue polygon` serves both, for its help says "Provide
# multiple -q arguments to specify multiple queues".
# Seen: it hands each on to Celery as an option of its own, and Celery keeps the last. With a comma between them, in one
# option, both are served.
# Who is hurt: whoever has a queue for each kind of run. What is in the others waits for a worker, and none comes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check dagster-celery==0.29.27 celery==5.7.0
cd "$folder"
mkdir home
export PATH="$folder/env/bin:$PATH" DAGSTER_HOME="$folder/home"
printf 'execution:\n  config:\n    broker: "memory://"\n    backend: "cache+memory://"\n' > worker.yaml

served() {  # the queues that the worker names as it starts; Ctrl-C ends it, and Celery below it
  rm -f said
  setsid timeout --signal INT --kill-after 10 60 dagster-celery worker start --app dagster_celery.app \
    --config-yaml worker.yaml "$@" -- --pool solo > said 2>&1 &
  until grep -q '\[tasks\]' said 2> /dev/null || ! kill -0 $! 2> /dev/null; do sleep 0.2; done
  kill -INT -- -$! 2> /dev/null || true
  wait $! 2> /dev/null || true
  grep -oE '> (theta|polygon) ' said | tr -d '> ' | sort | paste -sd,
}

several=$(served --queue theta --queue polygon)
one=$(served --queue theta,polygon)
echo "$(pip list 2> /dev/null | grep -E '^(celery|dagster-celery) ' | tr -s ' ' | paste -sd,): two options serve '$several', one serves '$one'"
[[ $several == polygon && $one == polygon,theta ]]
