"""The words of the published pages, in both languages."""

from __future__ import annotations

from typing import Literal

__all__ = ["LANGUAGES", "Language", "words"]

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

_WORDS: dict[str, tuple[str, str]] = {
    "other": ("中文", "English"),
    "overview": ("Overview", "总览"),
    "indicators": ("indicators", "项指标"),
    "period": ("Period", "时期"),
    "catalogue": ("Catalogue", "指标体系"),
    "nation": ("National", "全国"),
    "value": ("Value", "数值"),
    "interval": ("95 % interval", "95% 置信区间"),
    "unit": ("Unit", "单位"),
    "coverage": ("Coverage", "覆盖"),
    "by_province": ("By province", "分省份"),
    "by_discipline": ("By discipline category", "分学科门类"),
    "trend": ("Over the years", "历年变化"),
    "change": ("Change", "变化"),
    "significant": ("significant", "显著"),
    "not_significant": ("not significant", "不显著"),
    "definition": ("Definition", "口径"),
    "counted": ("What is counted", "统计内容"),
    "numerator": ("What is counted", "分子"),
    "denominator": ("Over", "分母"),
    "population": ("Population", "统计范围"),
    "clip": ("A person's own sum counts", "每人合计值的计入范围"),
    "reference": ("Reference period", "时点"),
    "source": ("Source table", "来源表"),
    "protected": ("Who is protected", "隐私单位"),
    "provenance": ("Provenance", "溯源"),
    "bundle": ("audit bundle of these figures", "本期数据的审计包"),
    "verify": ("Verify it offline", "离线验证"),
    "universities": ("universities", "所高校"),
    "enrolment": ("of known enrolment", "（按已知在校生数）"),
    "comma": (", ", "、"),
    "pause": (", ", "，"),
    "colon": (": ", "："),
    "points": ("points", "个百分点"),
    "counts": (
        "{} primary and {} secondary indicators; {} for universities, {} for disciplines",
        "一级指标{}项，二级指标{}项；高校监测指标{}项，学科监测指标{}项",
    ),
    "missing": ("Not in the figures", "未计入"),
    "noise": ("contains privacy noise", "含隐私噪声"),
    "not_official": ("not official statistics", "非法定统计"),
    "legend_uncertain": ("… the interval is wide for its value", "… 相对数值而言置信区间过宽"),
    "legend_missing": ("— not released", "— 未发布"),
    "legend_bars": ("Lines show 95 % intervals.", "线段为 95% 置信区间。"),
    "legend_map": (
        "One square a province; a darker square is a larger value, a hatched one is uncertain, an empty one has no figure. "
        "No borders are drawn.",
        "每格一省，颜色越深数值越大，斜纹表示不确定，空格表示无数据；不绘制边界。",
    ),
    "cost": ("What this cost", "隐私成本"),
    "table": ("As a table", "表格"),
    "code": ("Code", "编号"),
    "name": ("Indicator", "指标"),
    "province": ("Province", "省份"),
    "discipline": ("Discipline category", "学科门类"),
    "download": ("Download", "下载"),
    "figures": ("all figures, for machines (JSON)", "全部数据（JSON，供程序读取）"),
    "no_province": ("No province has a figure.", "没有省份数据。"),
    "counted_once": (
        "Every person counts once at a university, in one of their cells, so that parts add up to their total.",
        "每人在一所高校只计一次，各部分之和等于总数。",
    ),
    "skip": ("Skip to content", "跳到正文"),
}


def words(language: Language) -> dict[str, str]:
    """Every word of the pages in one language."""
    at = LANGUAGES.index(language)
    return {key: pair[at] for key, pair in _WORDS.items()}
