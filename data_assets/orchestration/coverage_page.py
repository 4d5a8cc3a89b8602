"""The page of all datasets: one HTML file that needs nothing else, no script and no network.

Here: drawing it from what `coverage` has read. Not here: reading, and where the file comes to lie (`coverage_asset`,
`cli.coverage`).

Judgements: no state is told by colour alone: each cell has a title, and each row of cells its sum in words, which is
what a screen reader reads instead of the cells. A year is a block of weeks, a column a week, as calendars of activity
are drawn elsewhere. The colours of states are apart from each other for the usual kinds of colour blindness.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from html import escape
from itertools import groupby

from data_assets.orchestration.coverage import ABOUT_THE_DOWNLOAD, SERIES_DAYS, Change, Coverage, newest_changes
from data_assets.orchestration.day_states import DONE, DayState
from data_assets.trading_calendar import NEW_YORK

SCORED_DAYS = 10
WEEKDAYS = 5
BAR_WIDTH, BAR_HEIGHT = 3, 40
"""Of a chart, in the units of its drawing."""

CLASSES = {
    DayState.STORED: "s",
    DayState.LACKING: "l",
    DayState.STALE: "l",
    DayState.HOLE: "h",
    DayState.FAILED: "f",
    DayState.IN_PROGRESS: "p",
    DayState.MISSING: "m",
}
CHECK_FAILED = "w"
LEGEND = {
    "s": "stored",
    CHECK_FAILED: "stored, a check failed",
    "l": "lacking or stale",
    "h": "accepted as a hole",
    "p": "in progress",
    "f": "failed",
    "m": "missing",
}

STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1c2024;--soft:#60646c;--line:#d9dce1;--s:#2a8c5f;--w:#e8a317;
--l:#b9cf4f;--h:#9b6fd0;--p:#3d8bfd;--f:#c9302c;--m:#e4e7eb;--c:9px}
@media(prefers-color-scheme:dark){:root{--back:#16181c;--text:#e6e8eb;--soft:#9ba1a9;--line:#343942;--s:#3fae7c;
--w:#f0b93a;--l:#c9dd6a;--h:#b394e6;--p:#64a5ff;--f:#f0605c;--m:#2b3038}}
*{box-sizing:border-box}
body{font:15px/1.45 system-ui,sans-serif;background:var(--back);color:var(--text);margin:0 auto;max-width:75rem;
padding:1.2rem}
h1{margin:0;font-size:1.6rem}h2{margin:2.2rem 0 .4rem;font-size:1.15rem;overflow-wrap:anywhere}
h3{margin:1.1rem 0 .3rem;font-size:.95rem}
p{margin:.3rem 0}a{color:inherit}.soft,caption,figcaption{color:var(--soft);font-size:.87rem}caption{text-align:left}
section{border-top:1px solid var(--line);margin-top:2rem}section h2{margin-top:1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.22rem .7rem .22rem 0;text-align:left;font-weight:400;white-space:nowrap}
thead th{color:var(--soft);font-size:.87rem;border-bottom:1px solid var(--line)}
td.n{text-align:right}.bad{color:var(--f)}td.why{white-space:normal;min-width:16rem}
.score td{padding-right:.9rem}
.years{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem}figure{margin:0}
ol{display:grid;grid-auto-flow:column;grid-auto-columns:var(--c);gap:1px;list-style:none;margin:0;padding:0}
ol.d{grid-template-rows:repeat(5,var(--c))}ol.d li{height:var(--c)}
ol.y{grid-auto-columns:calc(4*var(--c));grid-template-rows:calc(1.6*var(--c))}
li{border-radius:2px}.dot{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.35em}
.s{background:var(--s)}.w{background:var(--w)}.l{background:var(--l)}.h{background:var(--h)}.p{background:var(--p)}
.f{background:var(--f)}.m{background:var(--m)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.8rem 0}
.charts{display:flex;flex-wrap:wrap;gap:1rem 2rem}.charts figure{flex:1 1 20rem;max-width:36rem}
svg{display:block;width:100%;height:3.4rem}rect{fill:var(--p)}rect:hover,li:hover{opacity:.6}
.badge{background:var(--w);color:#1c2024;border-radius:4px;padding:.1rem .5rem;font-weight:600}
@media(max-width:640px){:root{--c:5px}body{padding:.8rem;font-size:14px}li{border-radius:1px}}
"""


def coverage_page(found: Sequence[Coverage], *, lake: str, synthetic: bool, now: datetime) -> str:
    """Draw the page.

    Args:
        found: the datasets, in the order of the page.
        lake: where their files are.
        synthetic: whether the data is invented, which the page says.
        now: when that was read, with a time zone.
    """
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>Coverage</title><style>{STYLE.strip()}</style></head><body>",
            *_head(found, lake, synthetic, now),
            *_score_card(found),
            *_changes(newest_changes(found)),
            *(line for place, each in enumerate(found) for line in _dataset(each, place)),
            "</body></html>",
            "",
        ]
    )


def _head(found: Sequence[Coverage], lake: str, synthetic: bool, now: datetime) -> Iterator[str]:
    yield '<header><h1>Coverage</h1><p class="soft">'
    yield f"as of {now.astimezone(NEW_YORK):%Y-%m-%d %H:%M} New York · files in {escape(lake)}</p>"
    if synthetic:
        yield '<p><span class="badge">synthetic data of the sandbox</span></p>'
    yield "</header>"
    yield '<div class="scroll"><table><caption>All datasets</caption><thead><tr>'
    yield from (f'<th scope="col">{name}' for name in ("dataset", "done", "stored", "failed", "missing", "newest"))
    yield "<tbody>"
    for place, each in enumerate(found):
        stored = [day for day, state in each.states.items() if state in DONE]
        share = 100 * len(stored) // len(each.states) if each.states else 100
        failed, missing = each.count(DayState.FAILED), each.count(DayState.MISSING)
        yield f'<tr><th scope="row"><a href="#d{place}">{escape(each.dataset.name)}</a>'
        yield f'<td class="n">{share}%<td class="n">{len(stored):,} of {len(each.states):,}'
        yield f'<td class="n{" bad" if failed else ""}">{failed:,}<td class="n">{missing:,}'
        yield f"<td>{each.dataset.label(stored[-1]) if stored else 'none yet'}"
    yield "</table></div>"
    yield '<p class="legend">'
    yield from (f'<span><span class="dot {sign}"></span>{text}</span>' for sign, text in LEGEND.items())
    yield "</p>"


def _score_card(found: Sequence[Coverage]) -> Iterator[str]:
    """The newest days of all daily datasets: a row a day."""
    daily = [each for each in found if not each.dataset.monthly]
    newest = sorted({day for each in daily for day in each.states}, reverse=True)[:SCORED_DAYS]
    if not newest:
        return
    yield "<section><h2>The newest days</h2>"
    yield '<div class="scroll"><table class="score"><caption>Checks passed of those evaluated, or why there are none'
    yield '</caption><thead><tr><th scope="col">day'
    yield from (f'<th scope="col">{escape(each.dataset.name).replace("/", "/<wbr>")}' for each in daily)
    yield "<tbody>"
    for day in newest:
        yield f'<tr><th scope="row">{day}'
        for each in daily:
            if (state := each.states.get(day)) is None:
                yield "<td>"
                continue
            sign, title = _sign(each, day)
            judged = each.verdicts.get(day, {})
            said = f"{sum(judged.values())} of {len(judged)}" if judged else str(state)
            yield f'<td title="{title}"><span class="dot {sign}"></span>{said}'
    yield "</table></div></section>"


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    yield "<section><h2>What changed lately</h2>"
    if not changes:
        yield "<p>Nothing has been recorded yet.</p></section>"
        return
    yield '<div class="scroll"><table><caption>Newest first, New York time</caption><thead><tr>'
    yield from (f'<th scope="col">{name}' for name in ("when", "dataset", "day", "what"))
    yield "<tbody>"
    for alike in _together(changes):
        first, last = min(each.day for each in alike), max(each.day for each in alike)
        days = first if first == last else f"{first} to {last} ({len(alike)})"
        newest = alike[0]
        what = newest.what if len(alike) == 1 or newest.is_bad else "stored"
        yield f"<tr><td>{newest.at.astimezone(NEW_YORK):%Y-%m-%d %H:%M}<td>{escape(newest.dataset)}<td>{days}"
        yield f'<td class="why{" bad" if newest.is_bad else ""}">{escape(what)}'
    yield "</table></div></section>"


def _together(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Changes one after another that say the same of several days; days that were stored are alike."""

    def kind(change: Change) -> tuple[str, str]:
        return change.dataset, "stored" if change.what.startswith("stored,") else change.what

    return (list(alike) for _, alike in groupby(changes, kind))


def _dataset(each: Coverage, place: int) -> Iterator[str]:
    yield f'<section aria-labelledby="d{place}"><h2 id="d{place}">{escape(each.dataset.name)}</h2>'
    yield '<div class="years">'
    years = {year: list(days) for year, days in groupby(each.states, lambda day: int(day[:4]))}
    for year in sorted(years, reverse=True):
        yield from _year(each, year, years[year])
    yield "</div>"
    if each.numbers:
        yield f"<h3>The newest {min(len(each.numbers), SERIES_DAYS)} stored {each.dataset.day}s</h3>"
        yield from _charts(each)
    yield from _checks(each)
    yield "</section>"


def _year(each: Coverage, year: int, days: Sequence[str]) -> Iterator[str]:
    done = sum(each.states[day] in DONE for day in days)
    failed = sum(each.states[day] is DayState.FAILED for day in days)
    said = f"{year}: {done} of {len(days)} done" + (f", {failed} failed" if failed else "")
    kind = "y" if each.dataset.monthly else "d"
    yield f'<figure><figcaption>{said}</figcaption><ol class="{kind}" aria-hidden="true">'
    yield "".join(_cells(each, days))
    yield "</ol></figure>"


def _cells(each: Coverage, days: Sequence[str]) -> Iterator[str]:
    """A cell a day, and an empty one for each closed weekday in between; those of a month are twelve in a row."""
    before: date | None = None
    for key in days:
        day, at = date.fromisoformat(key), ""
        if not each.dataset.monthly:
            if before is None:
                at = f" style=grid-row:{day.weekday() + 1}" if day.weekday() else ""
            else:
                yield "<li>" * _weekdays_between(before, day)
            before = day
        sign, title = _sign(each, key)
        yield f'<li class={sign}{at} title="{title}">'


def _weekdays_between(first: date, last: date) -> int:
    return sum((first + timedelta(n)).weekday() < WEEKDAYS for n in range(1, (last - first).days))


def _sign(each: Coverage, day: str) -> tuple[str, str]:
    """The class of a day's cell, and its title."""
    state, label = each.states[day], each.dataset.label(day)
    if state is DayState.STORED and (failed := each.failed_checks(day)):
        return CHECK_FAILED, escape(f"{label} stored, failed: {', '.join(failed)}")
    return CLASSES[state], escape(f"{label} {state}")


def _series(each: Coverage) -> dict[str, dict[str, float]]:
    """What is shown of the newest days: name -> day -> number."""
    days = each.numbers
    others = sorted({name for numbers in days.values() for name in numbers} - ABOUT_THE_DOWNLOAD)
    series = {
        "rows": {day: numbers["rows"] for day, numbers in days.items() if "rows" in numbers},
        "MB on disk": {day: numbers["size"] / 1e6 for day, numbers in days.items()},
    }
    series |= {
        name.replace("_", " "): {day: numbers[name] for day, numbers in days.items() if name in numbers}
        for name in others
    }
    return {name: numbers for name, numbers in series.items() if numbers}


def _charts(each: Coverage) -> Iterator[str]:
    """A chart for each number that differs from day to day; the others are said in a line."""
    series = _series(each)
    same = {name: max(days.values()) for name, days in series.items() if min(days.values()) == max(days.values())}
    yield '<div class="charts">'
    for name in [name for name in series if name not in same]:
        yield from _chart(each, name, series[name])
    yield "</div>"
    if same:
        said = ", ".join(f"{escape(name)} {_number(value)}" for name, value in same.items())
        yield f'<p class="soft">The same each {each.dataset.day}: {said}.</p>'


def _chart(each: Coverage, name: str, series: Mapping[str, float]) -> Iterator[str]:
    """A bar a day."""
    least, most = min(series.values()), max(series.values())
    yield f"<figure><figcaption>{escape(name)}: {_number(least)} to {_number(most)}</figcaption>"
    width = BAR_WIDTH * max(len(series), SERIES_DAYS // 4)
    yield f'<svg viewBox="0 0 {width} {BAR_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
    floor, reach = min(least, 0), max(most, 0) - min(least, 0)
    for place, (day, value) in enumerate(series.items()):
        height = max(0.8, BAR_HEIGHT * (value - floor) / reach)
        yield (
            f"<rect x={BAR_WIDTH * place} y={BAR_HEIGHT - height:.1f} width={BAR_WIDTH - 0.6:g} height={height:.1f}>"
            f"<title>{each.dataset.label(day)}: {_number(value)}</title></rect>"
        )
    yield "</svg></figure>"


def _number(value: float) -> str:
    return f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.0f}"


def _checks(each: Coverage) -> Iterator[str]:
    if not each.verdicts:
        return
    day = each.dataset.day
    yield '<h3>Checks</h3><div class="scroll"><table><thead><tr>'
    heads = ("check", f"{day}s passed", f"newest {day}s that did not", "what it verifies")
    yield from (f'<th scope="col">{name}' for name in heads)
    yield "<tbody>"
    for name, text in each.dataset.checks.items():
        judged = {day: verdicts[name] for day, verdicts in sorted(each.verdicts.items()) if name in verdicts}
        failed = [each.dataset.label(day) for day, passed in judged.items() if not passed]
        yield f'<tr><th scope="row">{escape(name)}<td class="n{" bad" if failed else ""}">'
        yield f"{len(judged) - len(failed):,} of {len(judged):,}<td>{_newest(failed)}"
        yield f'<td class="why soft">{escape(text)}'
    yield "</table></div>"


def _newest(days: Iterable[str]) -> str:
    newest = sorted(days, reverse=True)
    return ", ".join(newest[:3]) + (f" and {len(newest) - 3:,} more" if len(newest) > 3 else "")
