"""The report of `departures` for a person: one HTML page without scripts or anything fetched, or plain text."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from collegium.accounting import NANO, epsilon_of
from collegium_node.departures import Departure, Departures
from collegium_node.ledger import Spending

__all__ = ["page", "text"]

_WORDS = {
    "en": {
        "title": "What left {node} in {month}",
        "lead": "{count} releases left for the federation {federation}, at a privacy cost of {cost} in all. Each is a table of "
        "sums with noise; no row and no exact count has left.",
        "none": "Nothing left in this month.",
        "when": "when (UTC)", "question": "question", "who": "asked by", "purpose": "purpose", "cost": "cost: rho (epsilon)",
        "to": "who has it", "figures": "figures", "again": "went out before; no new cost", "withdrawn": "withdrawn: found wrong",
        "national": "masked part of a national sum; nobody can read it alone",
        "unanswered": "Charged, and nothing left (the answer could not be finished; the charge stays)", "budget": "Budgets now",
        "unit": "budget", "period": "period", "spent": "spent", "left": "left", "of": "of", "ever": "spent ever",
        "lifetime": "lifetime", "refused": "{count} questions were refused.", "snapshot": "snapshot", "erased": "(erased)",
        "coordinator": "coordinator (ministry)", "made": "Made {made} from this node's signed log; epsilon at delta {delta:g}.",
        "unwitnessed": "This log has no witnesses: nobody but this node vouches for its being complete.",
        "limits": "The log cannot prove that the rows were true, or that nobody read the data in another way.",
    },
    "zh": {
        "title": "{month} 离开 {node} 的数据",
        "lead": "共有 {count} 项结果发往联盟 {federation}，隐私成本合计 {cost}。"
        "每一项都是加噪后的汇总表；没有任何原始记录或精确计数离开。",
        "none": "本月没有数据离开。",
        "when": "时间（UTC）", "question": "问题", "who": "提问者", "purpose": "用途", "cost": "成本：rho（epsilon）",
        "to": "接收者", "figures": "数字个数", "again": "此前已发出，不另计成本", "withdrawn": "已撤回：发现有误",
        "national": "全国汇总中的一份，已加掩码，无法单独读出",
        "unanswered": "已计费但未发出结果（未能完成；费用保留）", "budget": "当前预算", "unit": "预算", "period": "周期",
        "spent": "已用", "left": "剩余", "of": "总额", "ever": "累计已用", "lifetime": "终身上限",
        "refused": "拒绝了 {count} 个问题。",
        "snapshot": "快照", "erased": "（已删除）", "coordinator": "协调方（教育部）",
        "made": "生成于 {made}，依据本节点的签名日志；epsilon 按 delta {delta:g} 计算。",
        "unwitnessed": "本日志没有见证方：除本节点外无人担保其完整。",
        "limits": "日志不能证明原始数据属实，也不能证明没有人以其他方式读取数据。",
    },
}  # fmt: skip

_MARKS = ("again", "national", "withdrawn")
"""What a line may be marked as: fields of a `Departure`, and words."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid #d7dce1}
th{font-weight:600;background:#f4f6f8}td.n{text-align:right;white-space:nowrap}code{font-size:.85em;color:#444;white-space:pre-wrap}
.bar{height:.5rem;background:#e5e9ed;min-width:8rem}.bar i{display:block;height:100%;background:#2b6cb0}small{color:#57606a}
@media print{body{margin:0;max-width:none}}
"""


def page(found: Departures) -> str:
    """A whole HTML page. Every word that others have chosen (purposes, SQL, names) is escaped."""
    words = _WORDS[found.language]
    title = escape(words["title"].format(node=found.node, month=found.month))
    parts = [f"<h1>{title}</h1>", f"<p>{escape(_lead(found))}</p>"]
    if found.lines:
        parts.append(_table(found, found.lines))
    if found.unanswered:
        parts += [f"<h2>{escape(words['unanswered'])}</h2>", _table(found, found.unanswered)]
    if found.refused:
        parts.append(f"<p>{escape(words['refused'].format(count=found.refused))}</p>")
    if found.budgets:
        parts += [f"<h2>{escape(words['budget'])}</h2>", _budgets(found)]
    parts.append("<p><small>" + " ".join(escape(each) for each in _notes(found)) + "</small></p>")
    language = "zh-Hans" if found.language == "zh" else "en"
    return (
        f'<!doctype html>\n<html lang="{language}"><meta charset="utf-8"><title>{title}</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def text(found: Departures) -> str:
    """The same for a terminal."""
    words = _WORDS[found.language]
    rows = [words["title"].format(node=found.node, month=found.month), _lead(found), ""]
    for line in (*found.lines, *found.unanswered):
        rows.append(f"{_when(line.time)}  {line.question}")
        rows.append(f"    {words['who']}: {line.researcher}; {words['purpose']}: {line.purpose or words['erased']}")
        if line.sql:
            rows.append(f"    SQL: {' '.join(line.sql.split())}")
        marks = [words[mark] for mark in _MARKS if getattr(line, mark)]
        rows.append(f"    {words['cost']}: {_cost(line.rho, line.epsilon)}; {words['to']}: {_to(line, found)}" + _joined(marks))
    if found.refused:
        rows += ["", words["refused"].format(count=found.refused)]
    if found.budgets:
        rows += ["", words["budget"]]
        for budget in found.budgets:
            left, of = (_amount(each, found.delta) for each in (max(0, budget.limit - budget.spent), budget.limit))
            rows.append(f"    {budget.scope} {budget.name}, {budget.period}: {words['left']} {left} {words['of']} {of}")
    return "\n".join([*rows, "", *_notes(found)])


def _lead(found: Departures) -> str:
    words = _WORDS[found.language]
    if not found.lines:
        return words["none"]
    return words["lead"].format(count=len(found.lines), federation=found.federation, cost=f"rho {found.rho / NANO:.4g}")


def _table(found: Departures, lines: tuple[Departure, ...]) -> str:
    words = _WORDS[found.language]
    heads = "".join(f"<th>{escape(words[each])}</th>" for each in ("when", "question", "who", "purpose", "cost", "figures", "to"))
    rows = []
    for line in lines:
        marks = [words[mark] for mark in _MARKS if getattr(line, mark)]
        sql = f"<br><code>{escape(line.sql)}</code>" if line.sql else ""
        note = "".join(f"<br><small>{escape(mark)}</small>" for mark in marks)
        about = f"<br><small>{escape(words['snapshot'])} {escape(line.snapshot)}; {line.request[:12]}/{line.number}</small>"
        rows.append(
            f"<tr><td>{_when(line.time)}</td><td>{escape(line.question)}{sql}{about}</td><td>{escape(line.researcher)}</td>"
            f"<td>{escape(line.purpose or words['erased'])}</td><td class=n>{_cost(line.rho, line.epsilon)}{note}</td>"
            f"<td class=n>{line.figures}</td><td>{escape(_to(line, found))}</td></tr>"
        )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>\n" + "\n".join(rows) + "\n</tbody></table>"


def _budgets(found: Departures) -> str:
    words = _WORDS[found.language]
    heads = "".join(f"<th>{escape(words[each])}</th>" for each in ("unit", "period", "spent", "left", "of", "ever", "lifetime"))
    rows = "\n".join(_budget(line, found.delta) for line in found.budgets)
    return f"<table><thead><tr>{heads}<th></th></tr></thead><tbody>\n{rows}\n</tbody></table>"


def _budget(line: Spending, delta: float) -> str:
    share = min(100, round(100 * line.spent / line.limit)) if line.limit else 100
    left, lifetime = max(0, line.limit - line.spent), "" if line.lifetime is None else _amount(line.lifetime, delta)
    name = escape(line.name if line.scope == "unit" else f"{line.scope} {line.name}")
    amounts = (_amount(line.spent, delta), _amount(left, delta), _amount(line.limit, delta), _amount(line.lifetime_spent, delta))
    cells = "".join(f"<td class=n>{each}</td>" for each in (*amounts, lifetime))
    bar = f'<td><div class=bar><i style="width:{share}%"></i></div></td>'
    return f"<tr><td>{name}</td><td>{escape(line.period)}</td>{cells}{bar}</tr>"


def _notes(found: Departures) -> list[str]:
    words = _WORDS[found.language]
    notes = [words["made"].format(made=_when(found.made), delta=found.delta)]
    return [*notes, *([] if found.witnesses else [words["unwitnessed"]]), words["limits"]]


def _to(line: Departure, found: Departures) -> str:
    words = _WORDS[found.language]
    return ", ".join(words.get(each, each) if each == "coordinator" else each for each in line.recipients)


def _when(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def _cost(rho: int, epsilon: float) -> str:
    return f"{rho / NANO:.4g} ({epsilon:.3g})" if rho else "0"


def _amount(nano: int, delta: float) -> str:
    return f"{nano / NANO:.4g} ({epsilon_of(nano, delta):.3g})" if nano else "0"


def _joined(marks: list[str]) -> str:
    return f"; {'; '.join(marks)}" if marks else ""
