#!/usr/bin/env bash
# SQLAlchemy 2.1.9 hands a connection whose commit was refused to the next user with that transaction open.
#
# One would guess: `with engine.connect() as connection: ...; connection.commit()` that fails leaves nothing behind, as
# the connection goes back to its pool, and pools roll back what comes back to them (`reset_on_return`).
# Seen: where the database refuses the commit itself, as SQLite does for a deferred foreign key, the pool does not roll
# back. The next one who gets the connection begins, writes something else and commits, and what was refused is
# committed with it. A block of `engine.begin()` does roll back.
# Who is hurt: whoever keeps connections in a pool and commits as he goes, and tries something else after a refusal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check sqlalchemy==2.1.9
cd "$folder"
cat > refused.py <<'PYTHON'
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool


def quotes_after(how: str) -> int:
    """How many quotes are stored after one was refused and its contract was written by the next user."""
    engine = sa.create_engine(f"sqlite:///{how}.db", poolclass=QueuePool, pool_size=1)
    sa.event.listen(engine, "connect", lambda opened, _: opened.execute("PRAGMA foreign_keys = ON"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE contracts (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql(
            "CREATE TABLE quotes (contract INTEGER REFERENCES contracts (id) DEFERRABLE INITIALLY DEFERRED)"
        )
    try:
        if how == "commit":
            with engine.connect() as connection:
                connection.exec_driver_sql("INSERT INTO quotes VALUES (1)")
                connection.commit()
        else:
            with engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO quotes VALUES (1)")
    except sa.exc.IntegrityError:
        pass
    else:
        raise SystemExit("nothing was refused")
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO contracts VALUES (1)")
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM quotes").scalar()


print(sa.__version__, quotes_after("commit"), quotes_after("begin"))
PYTHON
read -r version by_commit by_begin < <(env/bin/python refused.py)
echo "sqlalchemy $version: refused rows stored by the next commit: $by_commit after commit(), $by_begin after begin()"
[[ "$version $by_commit $by_begin" == "2.1.9 1 0" ]]
