"""The audit as one HTML page: verdicts, questions with their figures, budgets over time. Self-contained; nothing is loaded.

Everything that comes from a log is escaped; the page carries a policy that forbids scripts and requests altogether.
"""

from __future__ import annotations

from html import escape

from collegium.audit.chart import chart
from collegium.audit.run import Audit
from collegium.audit.story import QuestionLine, Story, amount, utc
from collegium.audit.sumlines import sum_sentences
from collegium.audit.verdict import CHECKS, NOT_PROVEN
from collegium.audit.words import each_log, grouped

__all__ = ["page"]

MAX_QUESTIONS = 2_000
_STYLE = """
:root{color-scheme:light}body{font:15px/1.45 system-ui,"Noto Sans","Noto Sans CJK SC",sans-serif;margin:2rem auto;max-width:68rem;
padding:0 1rem;color:#1b1f24;background:#fff}h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;width:100%;margin:.3rem 0}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #dde1e6;
vertical-align:top}th{font-weight:600;font-size:.85rem;color:#57606a}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.PASS{color:#1a7f37}.WARN{color:#9a6700}.FAIL{color:#cf222e;font-weight:700}.word{font-weight:600;white-space:nowrap}
.small{color:#57606a;font-size:.85rem}.banner{border-left:.4rem solid;padding:.5rem .8rem;margin:1rem 0;background:#f6f8fa}
code{font:.8rem ui-monospace,monospace;overflow-wrap:anywhere}details{margin:.4rem 0}summary{cursor:pointer}
svg text{font:11px system-ui,sans-serif;fill:#57606a}@media print{details{display:block}body{margin:0;max-width:none}}
"""
_VERDICT = {
    0: ("PASS", "Nothing contradicts anything, and nothing is missing."),
    1: ("FAIL", "Violations are proven by signatures."),
    2: ("WARN", "Nothing contradicts anything; evidence is missing."),
}


def page(found: Audit, story: Story) -> str:
    """The page, UTF-8 text."""
    word, text = _VERDICT[int(found.findings.code)]
    named = ", ".join(sorted(found.findings.parties))
    body = [
        f"<h1>Audit of {escape(story.federation)}</h1>",
        f"<p class=small>{len(found.case.logs)} logs, {found.case.entries:,} entries, "
        f"{found.case.signatures:,} signatures verified.</p>",
        f'<div class="banner {word}"><b>{word}</b> {escape(text)}{" Named: " + escape(named) + "." if named else ""}</div>',
        _checks(found),
        _logs(found),
        "<h2>Budgets over time</h2>",
        *(chart(story, unit) for unit in sorted({each.unit for each in story.spent})),
        _budgets(story),
        _sums(story),
        "<h2>Questions</h2>",
        *(_question(line, story.delta) for line in story.questions[:MAX_QUESTIONS]),
        "<h2>What no log can prove, this audit included</h2><ul>",
        *(f"<li>{escape(each)}</li>" for each in NOT_PROVEN),
        "</ul><p class=small>Figures contain privacy noise. They are not official statistics.</p>",
        f"<p class=small>Registry key: <code>{escape(found.case.registry.registry_key.vkey)}</code></p>"
        if found.case.registry
        else "",
    ]
    if len(story.questions) > MAX_QUESTIONS:
        body.insert(-4, f"<p class=small>{len(story.questions) - MAX_QUESTIONS} more: see `collegium audit show --json`.</p>")
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Audit of {escape(story.federation)}</title><style>{_STYLE}</style></head><body>"
    )
    return head + "\n".join(body) + "</body></html>\n"


def _checks(found: Audit) -> str:
    findings = found.findings
    rows = ["<h2>Checks</h2><table><tr><th></th><th></th><th>what</th><th class=n>looked at</th></tr>"]
    for check, title in CHECKS.items():
        word = findings.word(check)
        count = sum(number for (name, _), number in findings.checked.items() if name == check)
        rows.append(
            f'<tr><td class="word {word or ""}">{word or "–"}</td><td>{check}</td><td>{escape(title)}{_told(found, check)}</td>'
            f"<td class=n>{count:,}</td></tr>"
        )
    return "".join([*rows, "</table>"])


def _logs(found: Audit) -> str:
    rows = ["<h2>Logs</h2><table><tr><th></th><th>log</th><th class=n>entries</th></tr>"]
    for name, word, size in each_log(found):
        entries = "not verified" if size is None else f"{size:,}"
        rows.append(f'<tr><td class="word {word or ""}">{word or "–"}</td><td>{escape(name)}</td><td class=n>{entries}</td></tr>')
    return "".join([*rows, "</table>"])


def _told(found: Audit, check: str) -> str:
    return "".join(f'<br><span class="small {word}">{word} {escape(text)}</span>' for word, text in grouped(found, check))


def _budgets(story: Story) -> str:
    rows = [
        "<table><tr><th>university</th><th>unit</th><th>period</th><th class=n>charges</th><th class=n>spent</th>"
        "<th class=n>of</th><th class=n>spent ever</th><th class=n>lifetime</th></tr>"
    ]
    for line in story.budgets:
        amounts = "".join(f"<td class=n>{amount(each, story.delta)}</td>" for each in (line.spent, line.limit, line.spent_ever, line.lifetime))  # fmt: skip # noqa: E501
        rows.append(
            f"<tr><td>{escape(line.node)}</td><td>{escape(line.unit)}</td><td>{escape(line.period)}</td>"
            f"<td class=n>{line.charges}</td>{amounts}</tr>"
        )
    return "".join([*rows, "</table>", f"<p class=small>rho, and epsilon at delta {story.delta:g} in brackets.</p>"])


def _sums(story: Story) -> str:
    """The rounds of national sums; nothing where there are none."""
    if not story.sums:
        return ""
    rows = [
        f"<h2>National sums</h2><p class=small>{escape(' '.join(sum_sentences(story.sums)))}</p>"
        "<table><tr><th>planned (UTC)</th><th>over</th><th class=n>universities</th><th class=n>charged</th>"
        "<th class=n>in the sum</th><th class=n>at least</th><th class=n>variance</th><th>trustees</th><th>verified</th></tr>"
    ]
    for line in story.sums[:MAX_QUESTIONS]:
        count, factor = (
            "–" if line.participants is None else f"{line.participants:,}",
            "–" if line.factor is None else f"{line.factor:.2f}",
        )
        rows.append(
            f"<tr><td>{utc(line.time)}</td><td>{escape(', '.join(line.group) or 'all asked')}</td><td class=n>{line.nodes:,}</td>"
            f"<td class=n>{line.charged:,}</td><td class=n>{count}</td><td class=n>{line.least:,}</td><td class=n>{factor}</td>"
            f"<td>{escape(', '.join(line.trustees))}</td><td>{escape(line.verified)}</td></tr>"
        )
    if len(story.sums) > MAX_QUESTIONS:
        rows.append(f"<tr><td colspan=9>{len(story.sums) - MAX_QUESTIONS} more: see `collegium audit show --json`.</td></tr>")
    return "".join(rows) + "</table>"


def _question(line: QuestionLine, delta: float) -> str:
    marks = f' <span class="FAIL">withdrawn since: {escape(", ".join(line.withdrawn))}</span>' if line.withdrawn else ""
    head = (
        f"<details><summary><b>{escape(line.dataset)}</b>: {escape(line.what)} <span class=small>{utc(line.time)} UTC · "
        f"{escape(line.researcher)} · rho (epsilon) {amount(line.rho, delta)} at each of {line.charged} · "
        f"{'one national sum · ' if line.national else ''}"
        f"{line.answered} of {line.asked} answered"
        f"</span>{marks}</summary>"
        f"<p class=small>Request <code>{line.request}</code>, question {line.number}. "
        f"Purpose: {escape(line.purpose or '(erased)')}</p>"
    )
    if not line.figures:
        return f"{head}<p class=small>No figure.</p></details>"
    names = "".join(f"<th class=n>{escape(name)}</th><th class=n>95 %</th>" for name, _, _ in line.figures[0].figures)
    rows = "".join(
        f"<tr><td>{escape(each.cell)}</td>"
        + "".join(
            f"<td class=n>{escape(value)}</td><td class='n small'>{escape(interval)}</td>" for _, value, interval in each.figures
        )
        + "</tr>"
        for each in line.figures
    )
    return f"{head}<table><tr><th></th>{names}</tr>{rows}</table></details>"
