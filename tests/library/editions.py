"""Small editions made by hand: two disciplines, three provinces, one primary and one secondary indicator."""

from __future__ import annotations

from collegium.indicators.edition import Branch, Cost, Coverage, Edition, Estimate, LeafFigures, Missing
from collegium.schema import Text

EVIL = '<script>alert("x")</script>&'


def text(en: str, zh: str = "") -> Text:
    return Text(en=en, zh=zh or f"{en}（中）")


def about(value: float, half: float, *, share: float = 0.3) -> Estimate:
    """A figure with this half-width, marked as the catalogue would."""
    mark = "…" if half > share * abs(value) else ""
    return Estimate(value=value, low=value - half, high=value + half, error=half / 1.96, mark=mark)  # type: ignore[arg-type]


def leaf(id: str, national: Estimate, *, discipline: str = "", provinces: dict[str, Estimate] | None = None) -> LeafFigures:
    return LeafFigures(
        id=id,
        level="discipline" if discipline else "university",
        secondary="S01",
        title=text(f"Graduates {EVIL}"),
        unit=text("persons", "人"),
        measure="graduates",
        discipline=discipline,
        dataset="graduate",
        privacy_unit="student",
        period=text("of the year"),
        numerator=text("graduates"),
        denominator=text("all"),
        population=text("everybody"),
        national=national,
        provinces=provinces or {},
        coverage=Coverage(
            asked=3, answered=2, enrolment_asked=100, enrolment_answered=60, missing=(Missing(node="c", reason="offline"),)
        ),
    )


def edition(year: int = 2026, value: float = 1000.0) -> Edition:
    provinces = {"11": about(600, 30), "31": about(400, 300), "54": Estimate(mark="—")}
    return Edition(
        federation="small",
        catalogue="made/1",
        title=text(f"Made {EVIL}"),
        note=text("They are not official statistics.", "为非法定统计。"),
        year=year,
        mode="per_node",
        requests=("ab" * 32,),
        bundles=("bundle.collegium",),
        delta="1e-6",
        costs=(Cost(unit="student", title=text("Student"), nano_rho=5, epsilon=1.0, sentence=text("It costs little.")),),
        coverage=Coverage(asked=3, answered=2),
        primaries=(Branch(id="P1", title=text("First")),),
        secondaries=(Branch(id="S01", title=text("Second"), parent="P1"),),
        provinces={"11": text("Beijing", "北京市"), "31": text("Shanghai", "上海市"), "54": text("Tibet", "西藏自治区")},
        disciplines={"01": text("Philosophy", "哲学"), "02": text("Economics", "经济学")},
        leaves=(
            leaf("U-S01-001", about(value, 40), provinces=provinces),
            leaf("D01-S01-001", about(300, 20), discipline="01"),
            leaf("D02-S01-001", about(20, 15), discipline="02"),
        ),
    )
