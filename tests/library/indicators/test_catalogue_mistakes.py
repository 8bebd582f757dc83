"""Each kind of mistake in a catalogue has one message: with its place, what is wrong, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from collegium.errors import Invalid
from collegium.indicators.catalogue import parse_catalogue, read_catalogue
from collegium.indicators.check import check, follows
from collegium.indicators.expand import expand
from collegium.schema import Schema, read_schema

HERE = Path(__file__).resolve().parents[3]

GOOD = """
name = "small"
version = 2
schema = "higher-education/1"
title = { en = "Small", zh = "小" }
note = { en = "Noise.", zh = "噪声。" }
year = "year"

[discipline]
column = "discipline_cat"
codes = ["01", "08"]

[periods]
point = { en = "on 30 September", zh = "9月30日" }

[units]
persons = { of = "people", en = "persons", zh = "人" }
items = { of = "rows", en = "items", zh = "项" }
percent = { of = "share", en = "%", zh = "%" }
ratio = { of = "ratio", en = "to one", zh = "比" }
yuan = { of = "CNY", en = "CNY", zh = "元" }

[bounds]
enrolment = { max_rows = 2 }
staff = { max_rows = 1 }
project = { max_rows = 5 }

[[impossible]]
datasets = ["enrolment"]
codes = { study_level = ["3"], discipline_cat = ["11"] }

[primaries]
P1 = { en = "First", zh = "一" }

[secondaries]
S01 = { primary = "P1", en = "Below", zh = "二" }

[populations.enrolled]
dataset = "enrolment"
where = "status IN ('01', '05')"
title = { en = "students", zh = "学生" }

[populations.teachers]
dataset = "staff"
where = "staff_type = '11'"
title = { en = "teachers", zh = "教师" }

[populations.doctors]
within = "teachers"
where = "degree_group = 'D'"
title = { en = "teachers with a doctorate", zh = "博士教师" }

[populations.projects]
dataset = "project"
title = { en = "projects", zh = "项目" }

[dimensions.level]
column = "study_level"
[dimensions.level.values]
1 = { en = "doctoral", zh = "博士生" }
3 = { en = "bachelor's", zh = "本科生" }

[measures.students]
title = { en = "Students", zh = "学生数" }
kind = "count_distinct"
population = "enrolled"
unit = "persons"
period = "point"

[measures.minority]
title = { en = "Minority share", zh = "少数民族占比" }
kind = "ratio"
population = "enrolled"
numerator = "minority = 1"
counted = { en = "of a minority", zh = "少数民族" }
unit = "percent"
period = "point"

[measures.levels]
title = { en = "Share by level", zh = "层次占比" }
kind = "share"
population = "enrolled"
unit = "percent"
period = "point"

[measures.per_doctor]
title = { en = "Students per doctor", zh = "生师比" }
kind = "distinct_per"
population = "enrolled"
denominator = "doctors"
unit = "ratio"
period = "point"

[measures.funding]
title = { en = "Funding", zh = "经费" }
kind = "sum"
population = "projects"
column = "funding"
clip = [0, 5000000]
unit = "yuan"
period = "point"

[[templates]]
secondary = "S01"
measure = "students"
university = ["total", "level"]
discipline = ["total", { dimension = "level", values = ["3"] }]

[[templates]]
secondary = "S01"
measure = "minority"
university = ["total"]

[[templates]]
secondary = "S01"
measure = "levels"
university = ["level"]

[[templates]]
secondary = "S01"
measure = "per_doctor"
university = ["total"]

[[templates]]
secondary = "S01"
measure = "funding"
university = ["total"]
discipline = ["total"]
"""

# (kind of mistake, what is replaced, by what, place, part of the message, part of the remedy)
MISTAKES = [
    ("not-toml", 'name = "small"', "name = small", "", "not TOML", "Correct it"),
    ("duplicate-key", "[measures.funding]", "[measures.students]", "", "not TOML", "Correct it"),
    ("unknown-key", 'year = "year"', 'year = "year"\nyaer = 1', "yaer", "there is no key `yaer`", "Did you mean 'year'?"),
    ("unknown-key-inside", 'population = "projects"', 'population = "projects"\nclips = [0, 1]', "measures.funding.clips",
     "there is no key `clips`", "Did you mean 'clip'?"),
    ("missing-key", 'year = "year"\n', "", "", "the key `year` is missing", "Add `year`."),
    ("missing-zh", 'title = { en = "Students", zh = "学生数" }', 'title = { en = "Students" }', "measures.students.title",
     "the Chinese name `zh` is missing", "both `en` and `zh`"),
    ("empty-zh", 'zh = "学生数"', 'zh = ""', "measures.students.title.zh", "the Chinese name is empty", "both `en` and `zh`"),
    ("missing-en", '1 = { en = "doctoral", zh = "博士生" }', '1 = { zh = "博士生" }', "dimensions.level.values.1",
     "the English name `en` is missing", "both `en` and `zh`"),
    ("wrong-kind", 'kind = "sum"', 'kind = "total"', "measures.funding.kind", "'total' is none of those", "'count_distinct'"),
    ("wrong-type", "version = 2", 'version = "2"', "version", "a valid integer", "Correct it"),
    ("bad-name", "[measures.funding]", "[measures.Funding-1]", "measures.Funding-1", "cannot be a name here", "fits"),
    ("wrong-schema", 'schema = "higher-education/1"', 'schema = "other/1"', "schema", "for the schema 'other'",
     "Write it for this"),
    ("later-schema", 'schema = "higher-education/1"', 'schema = "higher-education/7"', "schema", "needs higher-education/7",
     "Publish that schema"),
    ("unknown-dataset", 'dataset = "project"', 'dataset = "projects"', "populations.projects.dataset",
     "there is no dataset 'projects'", "Did you mean 'project'?"),
    ("no-dataset", 'dataset = "project"\n', "", "populations.projects", "either a `dataset` or another population",
     "one of the two"),
    ("unknown-within", 'within = "teachers"', 'within = "teacher"', "populations.doctors.within",
     "there is no population 'teacher'", "Did you mean 'teachers'?"),
    ("within-without-where", "where = \"degree_group = 'D'\"\n", "", "populations.doctors", "needs a condition", "Add `where`"),
    ("year-column", 'year = "year"', 'year = "gender"', "year", "is no whole number", "holds the year"),
    ("condition-column", "staff_type = '11'", "staff_typ = '11'", "populations.teachers.where 1:1 \"staff_typ\"",
     "there is no column 'staff_typ' in staff", "Did you mean staff_type?"),
    ("condition-code", "degree_group = 'D'", "degree_group = 'X'", "populations.doctors.where 1:16 \"'X'\"",
     "'X' is no code of degree_group", "Its codes are: D, M, B."),
    ("condition-grammar", "minority = 1", "LENGTH(minority) = 1", 'measures.minority.numerator 1:1 "LENGTH(minority)"',
     "this is no column", "Write"),
    ("condition-cut-off", "minority = 1", "minority =", "measures.minority.numerator 1:10 \"=\"", "not readable", "after WHERE"),
    ("condition-and-more", "minority = 1", "minority = 1 GROUP BY gender", "measures.minority.numerator 1:1",
     "more here than a condition", "after WHERE"),
    ("condition-person", "minority = 1", "pid = '7'", 'measures.minority.numerator 1:1 "pid"', "the person column",
     "COUNT(DISTINCT pid)"),
    ("condition-other-letter", "minority = 1", "entry_year = :X", 'measures.minority.numerator 1:14 ":"', "no parameters", "Write"),
    ("unknown-population", 'population = "projects"', 'population = "project"', "measures.funding.population",
     "there is no population 'project'", "Did you mean 'projects'?"),
    ("unknown-column", 'column = "funding"', 'column = "fundings"', "measures.funding.column",
     "there is no column 'fundings' in project", "Did you mean 'funding'?"),
    ("column-of-codes", 'column = "funding"', 'column = "source"', "measures.funding.column", "has codes and cannot be summed",
     "Name a number"),
    ("key-too-many", 'numerator = "minority = 1"', 'numerator = "minority = 1"\ncolumn = "birth_year"', "measures.minority.column",
     "a ratio has no `column`", "Leave it out"),
    ("key-too-few", 'counted = { en = "of a minority", zh = "少数民族" }\n', "", "measures.minority", "a ratio needs `counted`",
     "Add `counted`"),
    ("wrong-unit", 'population = "projects"\ncolumn = "funding"\nclip = [0, 5000000]\nunit = "yuan"',
     'population = "projects"\ncolumn = "funding"\nclip = [0, 5000000]\nunit = "items"', "measures.funding.unit",
     "items is of 'rows', and this sum is of 'CNY'", "Write yuan."),
    ("unknown-unit", 'unit = "yuan"', 'unit = "yuans"', "measures.funding.unit", "there is no unit 'yuans'",
     "Did you mean 'yuan'?"),
    ("unknown-period", 'clip = [0, 5000000]\nunit = "yuan"\nperiod = "point"',
     'clip = [0, 5000000]\nunit = "yuan"\nperiod = "points"',
     "measures.funding.period", "there is no period 'points'", "Did you mean 'point'?"),
    ("clip-outside", "clip = [0, 5000000]", "clip = [0, 500000000]", "measures.funding.clip",
     "outside the bounds: funding of one person"
     " adds up to 0 to 100000000 over 5 rows", "only adds noise"),
    ("clip-without-zero", "clip = [0, 5000000]", "clip = [1000, 5000000]", "measures.funding.clip", "0 is not within the clip",
     "reach to 0"),
    ("clip-backwards", "clip = [0, 5000000]", "clip = [5000000, 0]", "measures.funding.clip", "do not increase", "lower end first"),
    ("clip-between-steps", "clip = [0, 5000000]", "clip = [0, 5000500]", "measures.funding.clip", "not a multiple of the step",
     "multiples"),
    ("other-persons", "staff = { max_rows = 1 }\n", "", "measures.per_doctor.denominator",
     "another kind of person (staff, not student), and staff has no bounds", "Add [bounds.staff]"),
    ("unknown-bounds", "project = { max_rows = 5 }", "projekt = { max_rows = 5 }", "bounds.projekt",
     "there is no dataset 'projekt'",
     "Did you mean 'project'?"),
    ("no-rows", "project = { max_rows = 5 }", "project = { max_rows = 0 }", "bounds.project.max_rows", "greater than or equal to 1",
     "Correct it"),
    ("impossible-code", 'discipline_cat = ["11"]', 'discipline_cat = ["99"]', "impossible[1].codes.discipline_cat",
     "'99' is no code of discipline_cat", "codes are: 01"),
    ("unknown-primary", 'primary = "P1"', 'primary = "P2"', "secondaries.S01.primary", "there is no primary indicator 'P2'", "P1"),
    ("unknown-secondary", 'secondary = "S01"\nmeasure = "levels"', 'secondary = "S02"\nmeasure = "levels"',
     "templates[3].secondary",
     "there is no secondary indicator 'S02'", "indicators are: S01"),
    ("unknown-measure", 'measure = "levels"\n', 'measure = "level"\n', "templates[3].measure", "there is no measure 'level'",
     "Did you mean 'levels'?"),
    ("unknown-dimension", 'measure = "levels"\nuniversity = ["level"]', 'measure = "levels"\nuniversity = ["levle"]',
     "templates[3].university", "there is no dimension 'levle'", "Did you mean 'level'?"),
    ("unknown-value", 'values = ["3"]', 'values = ["4"]', "templates[1].discipline", "level has no value '4'", "values are: 1, 3"),
    ("dimension-code", "\n1 = { en", "\n7 = { en", "dimensions.level.values", "'7' is no code of study_level",
     "codes are: 1, 2, 3, 4, 9"),
    ("dimension-column", 'measure = "minority"\nuniversity = ["total"]', 'measure = "funding"\nuniversity = ["level"]',
     "templates[2].university", "level cannot be used here: there is no column 'study_level' in project", "columns are: year"),
    ("discipline-code", 'codes = ["01", "08"]', 'codes = ["01", "8"]', "discipline.codes", "'8' is no code of discipline_cat",
     "codes are: 01, 02"),
    ("no-disciplines", '[discipline]\ncolumn = "discipline_cat"\ncodes = ["01", "08"]\n', "", "templates[1].discipline",
     "names no disciplines", "Add [discipline]"),
    ("expands-to-nothing", 'measure = "minority"\nuniversity = ["total"]', 'measure = "minority"', "templates[2]",
     "expands to nothing", 'university = ["total"]'),
    ("share-of-all", 'measure = "levels"\nuniversity = ["level"]', 'measure = "levels"\nuniversity = ["total", "level"]',
     "templates[3].university", "always 1", "name a dimension"),
    ("twice-in-a-list", 'university = ["total", "level"]', 'university = ["total", "level", "level"]', "templates[1].university",
     "'level' stands twice", "Leave one out"),
    ("duplicate-id", 'measure = "levels"\n', 'measure = "levels"\nfirst_university = 4\n', "templates[3]",
     "the id U-S01-004 is that of an indicator of templates[2] too", "first_university"),
    ("duplicate-indicator", 'measure = "minority"\nuniversity = ["total"]', 'measure = "students"\nuniversity = ["total"]',
     "templates[2]", "U-S01-004 would be the same as U-S01-001", "Leave it out"),
    ("duplicate-name", 'zh = "少数民族占比"', 'zh = "学生数"', "templates[2]", "the same name as U-S01-001", "another title"),
    ("unused-dimension", "[measures.students]",
     '[dimensions.sex]\ncolumn = "gender"\n[dimensions.sex.values]\n1 = { en = "male", zh = "男" }\n[measures.students]',
     "dimensions.sex", "no template gives a measure by this", "leave it out"),
    ("total-as-dimension", "[measures.students]",
     '[dimensions.total]\ncolumn = "gender"\n[dimensions.total.values]\n1 = { en = "male", zh = "男" }\n[measures.students]',
     "dimensions.total", "stands for no dimension", "another name"),
    ("empty-secondary", 'S01 = { primary = "P1", en = "Below", zh = "二" }',
     'S01 = { primary = "P1", en = "Below", zh = "二" }\nS02 = { primary = "P1", en = "More", zh = "三" }', "secondaries.S02",
     "no template is under this", "leave it out"),
    ("too-large", 'name = "small"', 'name = "small"\n' + "#" * 50_000, "", "more than 49,152", "Shorten"),
]  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> Schema:
    return read_schema(HERE / "examples" / "higher-education" / "schema.toml")


def test_the_catalogue_without_mistakes_is_accepted(schema: Schema) -> None:
    assert check(GOOD, schema) == []
    made = expand(parse_catalogue(GOOD), schema, 2026)
    assert [leaf.id for leaf in made.level("university")] == [f"U-S01-{n:03d}" for n in range(1, 9)]
    assert [leaf.id for leaf in made.level("discipline")] == [f"D{c}-S01-{n:03d}" for c in ("01", "08") for n in range(1, 4)]


@pytest.mark.parametrize(("old", "new", "place", "text", "remedy"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_each_mistake_has_one_message(schema: Schema, old: str, new: str, place: str, text: str, remedy: str) -> None:
    assert old in GOOD
    wrong = GOOD.replace(old, new) if old == 'year = "year"' else GOOD.replace(old, new, 1)
    found = [each for each in check(wrong, schema) if not _follows_from(each.text, text)]
    assert len(found) == 1, "\n".join(map(str, found))
    assert found[0].place == place
    assert text in found[0].text
    assert remedy in found[0].remedy


def _follows_from(found: str, text: str) -> bool:
    """A replaced template or name leaves something else unused; that is a mistake of its own."""
    return "no template" in found and "no template" not in text


def test_mistakes_are_told_together_and_each_once(schema: Schema) -> None:
    wrong = GOOD.replace('column = "funding"', 'column = "fundings"').replace("minority = 1", "minorty = 1")
    wrong = wrong.replace('values = ["3"]', 'values = ["4"]').replace("staff = { max_rows = 1 }\n", "")
    found = check(wrong, schema)
    assert sorted(each.place.split(" ")[0] for each in found) == [
        "measures.funding.column", "measures.minority.numerator", "measures.per_doctor.denominator", "templates[1].discipline",
    ]  # fmt: skip
    assert len({str(each) for each in found}) == 4


def test_a_broken_population_is_not_reported_at_everything_that_rests_on_it(schema: Schema) -> None:
    found = check(GOOD.replace("staff_type = '11'", "staff_type = '99'"), schema)
    assert [each.place.split(" ")[0] for each in found] == ["populations.teachers.where"]


def test_expand_refuses_with_the_first_mistake(schema: Schema) -> None:
    catalogue = parse_catalogue(GOOD.replace("minority = 1", "minorty = 1"))
    with pytest.raises(Invalid) as caught:
        expand(catalogue, schema, 2026)
    assert caught.value.place == 'catalogue small/2: measures.minority.numerator 1:1 "minorty"'
    assert caught.value.remedy == "Did you mean minority?"


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        read_catalogue(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid, match="cannot be read"):
        read_catalogue(tmp_path / "bytes.toml")


@pytest.mark.parametrize(
    ("change", "place", "text", "remedy"),
    [
        (("version = 3", "version = 2"), "version", "the version was not increased: small/2 is published already", "version = 3"),
        (("version = 3", "version = 1"), "version", "the version was not increased", "version = 3"),
        (('name = "small"', 'name = "other"'), "name", "the catalogue before it is 'small'", "Keep the name"),
    ],
)
def test_a_new_version_follows_the_one_before(schema: Schema, change: tuple[str, str], place: str, text: str, remedy: str) -> None:
    before = parse_catalogue(GOOD)
    after = GOOD.replace("version = 2", "version = 3")
    assert check(after, schema, after=before) == []
    (found,) = check(after.replace(*change), schema, after=before)
    assert (found.place, text in found.text, remedy in found.remedy) == (place, True, True)


def test_ids_keep_their_meaning_from_version_to_version(schema: Schema) -> None:
    before = parse_catalogue(GOOD)
    without = '[[templates]]\nsecondary = "S01"\nmeasure = "minority"\nuniversity = ["total"]\n\n'
    shifted = GOOD.replace("version = 2", "version = 3").replace(without, "")
    # The measure that is left over is a mistake of its own; here only what became of the ids is looked at.
    found = follows(parse_catalogue(shifted), before)
    assert found[0].place == "templates[2]"
    assert found[0].text == "U-S01-004 would change its meaning, from minority to levels level 1"
    kept = shifted.replace('measure = "levels"\n', 'measure = "levels"\nfirst_university = 5\n')
    assert follows(parse_catalogue(kept), before) == []
