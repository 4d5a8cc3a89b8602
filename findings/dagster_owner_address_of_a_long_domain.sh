#!/usr/bin/env bash
# Dagster 1.13.27 takes no owner whose address ends in a domain of more than seven letters.
#
# One would guess: an asset's owner is any e-mail address, or team:name, as the error says.
# Seen: the last part of the domain must have two to seven letters. `.internal`, which is set aside for private networks,
# `.technology`, `.foundation` and `.investments` are refused when the asset is defined, though the error asks for "an
# email address". `.capital` has seven letters and passes.
# Who is hurt: a desk with such a domain, whose whole code location does not load for the sake of a name in the catalog;
# and whoever checks addresses by another rule before, and is told nothing until Dagster loads.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check dagster==1.13.27
cd "$folder"
cat > owners.py <<'PYTHON'
import dagster as dg


def verdict(owner: str) -> str:
    try:
        dg.AssetSpec("quotes", owners=[owner])
    except dg.DagsterInvalidDefinitionError as error:
        assert "must be an email address" in str(error), error
        return "refused"
    return "taken"


for domain in ("capital", "internal", "technology", "foundation", "investments"):
    print(f"{domain}={verdict(f'desk@fund.{domain}')}")
PYTHON
found=$(env/bin/python -W ignore owners.py | tr '\n' ' ')
echo "dagster $(env/bin/pip show dagster 2>/dev/null | sed -n 's/^Version: //p'): $found"
[[ "$found" == "capital=taken internal=refused technology=refused foundation=refused investments=refused " ]]
