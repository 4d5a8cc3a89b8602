"""One rule over a day that holds several option roots, such as SPX and SPXW.

Here: judging root by root, so that a small root cannot hide behind a large one, and saying it in one verdict. Not here:
the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data_assets.quality.verdict import Verdict


def per_root(roots: Sequence[str], judge: Callable[[str], Verdict]) -> Verdict:
    """The verdict of a rule on each root, as one.

    Args:
        roots: the roots that the day must hold, so that one without a row is judged too; at least one.
        judge: the rule on one root's part of the day.

    Returns:
        With one root, its verdict. With several, passed if all are; as bad as the worst breach; the summary says what
        each root's does, breaches first, and each name in the metadata is preceded by its root's.
    """
    verdicts = {root: judge(root) for root in roots}
    if len(verdicts) == 1:
        return next(iter(verdicts.values()))
    breaches = [verdict for verdict in verdicts.values() if not verdict.passed]
    in_order = sorted(verdicts.items(), key=lambda item: item[1].passed)
    return Verdict(
        next(iter(verdicts.values())).name,
        passed=not breaches,
        severity="error" if any(each.severity == "error" for each in breaches or verdicts.values()) else "warn",
        summary="; ".join(f"{root}: {verdict.summary}" for root, verdict in in_order),
        metadata={
            f"{root}_{name}": value for root, verdict in verdicts.items() for name, value in verdict.metadata.items()
        },
    )
