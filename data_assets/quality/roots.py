"""One rule over a day that holds several option roots, such as SPX and SPXW.

Each root is judged by itself, so that a small root cannot hide behind a large one, and the verdicts become one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from data_assets.quality.verdict import Verdict


def per_root(roots: Sequence[str], judge: Callable[[str], Verdict], held: Collection[str] | None = None) -> Verdict:
    """Apply a rule to each root, and join the verdicts.

    A root need not exist all the time: META's options were FB's until 2022-06-08. A root without contracts on a day on
    which another root has some is named and not judged. That this is no breach is a judgement. A root that the vendor
    lists but that did not arrive counts as held, and is judged.

    Args:
        roots: the roots that the day may hold; at least one.
        judge: the rule on one root's part of the day.
        held: the roots that hold contracts on the day, or should; None for all. If none of them does, all are judged.

    Returns:
        With one root, its verdict. With several, one that passes if all pass, as severe as the worst breach.
        The summary joins those of the roots, breaches first; names in the metadata begin with the root.
    """
    judged = [root for root in roots if held is None or root in held] or list(roots)
    absent = [root for root in roots if root not in judged]
    verdicts = {root: judge(root) for root in judged}
    if len(roots) == 1:
        return verdicts[roots[0]]
    breaches = [verdict for verdict in verdicts.values() if not verdict.passed]
    in_order = sorted(verdicts.items(), key=lambda item: item[1].passed)
    said = [f"{root}: {verdict.summary}" for root, verdict in in_order]
    metadata: dict[str, int | float | str | list[str]] = {
        f"{root}_{name}": value for root, verdict in verdicts.items() for name, value in verdict.metadata.items()
    }
    if absent:
        metadata["roots_without_contracts"] = absent
    return Verdict(
        next(iter(verdicts.values())).name,
        passed=not breaches,
        severity="error" if any(each.severity == "error" for each in breaches or verdicts.values()) else "warn",
        summary="; ".join([*said, *(f"{root}: no contract on this day" for root in absent)]),
        metadata=metadata,
    )
