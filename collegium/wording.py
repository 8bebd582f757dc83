"""The words around figures, in English and Chinese. Labels of codes and columns come from the schema and are not here."""

from __future__ import annotations

from collegium.errors import public_text

__all__ = ["CHOICE", "FOOTER", "NOISE_IN", "WORDS", "reason_text"]

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "interval": "95 % interval",
        "to": " to ",
        "place": "place",
        "unsure": "unsure",
        "model": "with sampling",
        "all": "all",
        "unknown": "unknown",
        "no figure": "There is no figure yet.",
        "more": "{} more rows; see them with --csv or --json",
    },
    "zh": {
        "interval": "95% 置信区间",
        "to": " 至 ",
        "place": "名次",
        "unsure": "存疑",
        "model": "含抽样误差",
        "all": "合计",
        "unknown": "未知",
        "no figure": "尚无数据。",
        "more": "另有 {} 行,请用 --csv 或 --json 查看",
    },
}

NOISE_IN = {
    "en": "Figures contain privacy noise. They are not official statistics.",
    "zh": "数据含隐私噪声,非法定统计数据。",
}

# Below one table: what HAVING, ORDER BY and LIMIT did, and what its marks mean.
CHOICE: dict[str, dict[str, str]] = {
    "en": {
        "kept": "HAVING kept {} of {} rows.",
        "shown": "{} of {} rows are shown.",
        "contenders": "{} of the rows left out may belong among them: their intervals reach that far.",
        "clear": "No row left out may belong among them, as far as the intervals tell.",
        "clip": "{}: each person's own sum counts from {} to {}{}; what lies beyond is cut off.",
        "unsure": "? the interval reaches across the limit of HAVING.",
        "place": "place: the best and the worst that the intervals leave the row.",
        "significant": "* the difference is significant: its 95 % interval leaves 0 out.",
        "not significant": "No difference here is significant: every 95 % interval holds 0.",
        "model": "with sampling: the standard error as of a sample, noise included. The interval is of the noise alone.",
    },
    "zh": {
        "kept": "HAVING 保留 {1} 行中的 {0} 行。",
        "shown": "显示 {1} 行中的 {0} 行。",
        "contenders": "未显示的行中有 {} 行也可能名列其中(其区间重叠)。",
        "clear": "就区间而言,未显示的行均不可能名列其中。",
        "clip": "{}:每人自身的合计按 {} 至 {}{} 计,超出部分截去。",
        "unsure": "? 区间跨越 HAVING 的界限。",
        "place": "名次:区间所允许的最好与最差名次。",
        "significant": "* 差异显著:其 95% 置信区间不含 0。",
        "not significant": "此处无显著差异:各 95% 置信区间均含 0。",
        "model": "含抽样误差:视为样本时的标准误(已计入噪声)。置信区间仅反映噪声。",
    },
}

# Below all tables.
FOOTER: dict[str, dict[str, str]] = {
    "en": {
        "coverage": "coverage: {} of {} universities",
        "enrolment": ", {:.0%} of known enrolment",
        "missing": "missing: {}: {}",
        "withdrawn": "withdrawn since: {}. Fetch the result again.",
        "cost": "cost: {}",
        "free": "cost: nothing, it was asked before (first time: {})",
        "a unit": "rho {} = epsilon {:.4g} a {} at each university",
        "marks": "~ caution, … unreliable. {} signatures verified.",
        "request": "request: {}",
        "sum": "{}: national sum of {} universities with the noise of one mechanism. It holds if at least {} of them and one of "
        "the trustees {} are honest.",
        "sums": "{}: {} national sums of {} to {} universities, each with the noise of one mechanism. They hold if all but {} of "
        "each and one of the trustees {} are honest.",
        "earlier sum": "{}: the result of an earlier request ({}), free of charge: a national sum is not made twice.",
        "unseen": "The masked vectors are not in a bundle; `collegium audit` adds them up again from the exported logs.",
        "invented": "Tried on invented rows: no figure of it means anything, nothing was sent, signed or charged.",
        "invented coverage": "coverage: {} of {} invented universities",
        "would cost": "it would cost: {}",
    },
    "zh": {
        "coverage": "覆盖:{1} 所高校中的 {0} 所",
        "enrolment": ",占已知在校生规模的 {:.0%}",
        "missing": "缺失:{}:{}",
        "withdrawn": "此后已撤回:{}。请重新获取结果。",
        "cost": "隐私成本:{}",
        "free": "隐私成本:无,此前已有相同提问(首次:{})",
        "a unit": "每所高校对每名{2} rho {0} = epsilon {1:.4g}",
        "marks": "~ 谨慎使用,… 不可靠。已验证 {} 个签名。",
        "request": "请求:{}",
        "sum": "{}:{} 所高校的全国汇总,噪声相当于单一机制。以其中至少 {} 所以及受托方 {} 之一诚实为前提。",
        "sums": "{}:{} 个全国汇总,各含 {} 至 {} 所高校,噪声各相当于单一机制。"
        "以每个汇总中除 {} 所外均诚实、且受托方 {} 之一诚实为前提。",
        "earlier sum": "{}:此前请求({})的结果,不计费;全国汇总不重复进行。",
        "unseen": "掩码向量不在证明文件中;`collegium audit` 可由导出的日志重新相加。",
        "invented": "仅在虚构数据上试算:数据无任何意义,未发送、未签名、未计费。",
        "invented coverage": "覆盖:{1} 所虚构高校中的 {0} 所",
        "would cost": "若正式提问,成本为:{}",
    },
}

_REASONS = {
    "offline": ("not connected", "未连接"),
    "deadline": ("did not answer in time", "未及时答复"),
    "not-logged": (
        "was not asked yet: witnesses have not confirmed the coordinator's log",
        "尚未收到提问:见证方尚未确认协调方日志",
    ),
    "bad-answer": ("its answer did not verify and was not used", "其答复未通过验证,未采用"),
    "withdrawn": ("withdrew its release", "已撤回其发布"),
    "no-answer": ("has not answered", "尚未答复"),
    "no-group": (
        "lies in no group of the partition of national sums",
        "不属于全国汇总分区中的任何一组",
    ),
    "no-trustees": (
        "three trustees were not connected; nothing was charged",
        "未能连接到三家受托方;未计费",
    ),
    "few-nodes": (
        "too few universities were ready for a sum that hides each of them; nothing was charged",
        "就绪的高校过少,不足以在汇总中隐藏各校;未计费",
    ),
    "no-round": ("the round of the national sum came to no result", "该轮全国汇总未得出结果"),
    "uneven": (
        "is in one of the two sums that the figure is made of, and other universities are in the other",
        "该指标由两个汇总得出,而两者的参与高校不同",
    ),
    "unmasking": (
        "its part is in a national sum that the trustees have not uncovered yet",
        "其数据所在的全国汇总尚待受托方揭示",
    ),
}

_PUBLIC_IN_CHINESE = {
    "not-allowed": "该校政策不允许此研究者使用该数据集。请联系其数据管理员。",
    "too-costly": "单个提问在该校的成本超过上限。请用较小的 epsilon 提问。",
    "held": "该校数据管理员将人工决定此请求。请稍后重新获取结果。",
    "refused-by-steward": "该校数据管理员拒绝了此请求。",
    "budget-period": "该校此隐私单位本期预算不足。请等待下一期或用较小的 epsilon 提问。",
    "budget-lifetime": "该校此隐私单位的终身预算不足。",
    "budget-dataset": "该校此数据集本期限额不足。",
    "budget-researcher": "该校对此研究者的本期限额不足。",
    "no-dataset": "该校当前快照不提供此数据集。",
    "no-column": "该校提供此数据集,但缺少该指标所依据的列。",
    "snapshot-gone": "计费所依据的快照已不存在;费用不退。请在当前快照上提问。",
    "schema": "提问与该节点的联邦模式不符。请重新获取模式后提问。",
    "identity": "研究者的签名或注册在该节点未通过验证。",
    "no-receipt": "节点未收到协调方已记录此请求的有效回执。请再次提问或告知主管部门。",
    "not-asked": "此请求未发给该节点。",
    "expired": "请求已过期。请重新签名。",
    "malformed": "该版本的节点无法读取此请求。",
    "too-large": "消息超过该节点的上限。",
    "mode": "该校不以此发布方式答复。请改用另一种发布方式,或联系其数据管理员。",
    "too-few": "汇总所含高校少于该校政策允许的数目。请向更多高校提问。",
    "bad-plan": "全国汇总的计划与提问不符。节点未计费;请告知主管部门。",
    "bad-round": "本次全国汇总的某一步骤未通过受托方核验。没有任何内容被揭示;请告知主管部门。",
    "round-over": "该轮全国汇总已结束;已计的费用不退。重新提问即开始新一轮。",
    "pending": "答复已生成;见证方尚未确认其在该校日志中的位置。请重新获取结果。",
    "not-confirmed": "该校节点已启动;见证方尚未确认其日志。请稍后重新获取结果。",
    "restored": "该校节点由备份恢复,在其管理员恢复日志之前不予答复。",
    "busy": "该节点正在处理的提问过多。请重试。",
    "failed": "该节点未能答复;没有任何损失。请重试,或请其管理员查看日志。",
}


def reason_text(reason: str, language: str = "en") -> str:
    """Why a university is not in the figures. A reason that is not known reads as a plain failure."""
    known = _REASONS.get(reason)
    if known is not None:
        return known[language == "zh"]
    if language == "zh":
        return _PUBLIC_IN_CHINESE.get(reason, _PUBLIC_IN_CHINESE["failed"])
    return public_text(reason)
