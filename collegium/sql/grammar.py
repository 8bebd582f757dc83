"""The grammar as data: every form that a statement may use, and what is refused with the form to use instead.

The parser takes its messages from here and the reference page prints it, so the two cannot disagree; a test compiles every
example against the higher-education schema.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLAUSES", "FUNCTIONS", "GRAMMAR", "NODES", "Form", "remedy"]


@dataclass(frozen=True, slots=True)
class Form:
    """One allowed form. `kind` says where it may stand; `example` is a part of a statement on the dataset graduate."""

    name: str
    kind: str  # statement, measure, key, condition or choice
    form: str
    example: str
    meaning: str


GRAMMAR: dict[str, Form] = {
    form.name: form
    for form in (
        Form(
            "statement",
            "statement",
            "SELECT keys and measures FROM dataset [WHERE condition] [GROUP BY keys] [HAVING ...] [ORDER BY ...] [LIMIT n] "
            "[RELEASE ...]",
            "SELECT study_level, COUNT(*) FROM graduate WHERE year = 2025 GROUP BY study_level",
            "One question about one dataset; rows never leave a university, so every item is a key or a measure.",
        ),
        Form("people", "measure", "COUNT(DISTINCT person)", "COUNT(DISTINCT pid)", "Persons with at least one row."),
        Form("rows", "measure", "COUNT(*)", "COUNT(*)", "Rows; at most max_rows of one person in a cell."),
        Form("present", "measure", "COUNT(column)", "COUNT(salary)", "Rows in which the column has a value."),
        Form("rows_if", "measure", "COUNT_IF(condition)", "COUNT_IF(ontime)", "Rows for which the condition is true."),
        Form(
            "sum", "measure", "SUM(number)", "SUM(salary)", "Sum over persons of each person's own sum, clipped; the clip is shown."
        ),
        Form(
            "mean",
            "measure",
            "AVG(number)",
            "AVG(salary)",
            "Mean over the rows that have a value; at most max_rows of a person in a cell.",
        ),
        Form(
            "share",
            "measure",
            "AVG(condition)",
            "AVG(dest_group <> 'NONE')",
            "Share of the rows with a known answer for which the condition is true. SHARE(condition) is the same.",
        ),
        Form(
            "variance", "measure", "VAR_POP(number)", "VAR_POP(salary)", "Population variance. VARIANCE(number) is the same here."
        ),
        Form(
            "stddev",
            "measure",
            "STDDEV_POP(number)",
            "STDDEV_POP(salary)",
            "Population standard deviation. STDDEV(number) is the same here.",
        ),
        Form(
            "ratio",
            "measure",
            "count / count (a SUM may stand on either side)",
            "COUNT_IF(matched) / COUNT(*)",
            "Divided after the noise, on the national figures; 1.0 * before it changes nothing.",
        ),
        Form(
            "difference",
            "measure",
            "figure - figure",
            "AVG(ontime) FILTER (WHERE gender = '1') - AVG(ontime) FILTER (WHERE gender = '2')",
            "Two counts, sums, means, shares, ratios or medians over different rows; the table says whether it is significant.",
        ),
        Form(
            "proportion",
            "measure",
            "count / SUM(count) OVER ([PARTITION BY keys])",
            "COUNT(*) / SUM(COUNT(*)) OVER ()",
            "Each cell's share of all cells, or of those alike in the keys named.",
        ),
        Form(
            "median",
            "measure",
            "MEDIAN(number)",
            "MEDIAN(salary)",
            "The smallest value that at least half of the rows with a value do not exceed; from a tree of bins.",
        ),
        Form(
            "quantile",
            "measure",
            "QUANTILE(number, share)",
            "QUANTILE(salary, 0.9)",
            "The same for another share. All quantiles of one column come from the same bins, which are paid once.",
        ),
        Form(
            "correlation",
            "measure",
            "CORR(number, number)",
            "CORR(salary, year)",
            "Correlation over the rows in which both have a value.",
        ),
        Form(
            "slope",
            "measure",
            "REGR_SLOPE(y, x)",
            "REGR_SLOPE(salary, year)",
            "Slope of the least-squares line of y on x.",
        ),
        Form(
            "intercept",
            "measure",
            "REGR_INTERCEPT(y, x)",
            "REGR_INTERCEPT(salary, year)",
            "Height of that line where x is 0.",
        ),
        Form(
            "regression",
            "measure",
            "REGRESSION(y, x1, x2, ...)",
            "REGRESSION(salary, year)",
            "Intercept and coefficients of least squares on up to six numbers, over the rows in which all have a value.",
        ),
        Form(
            "histogram",
            "measure",
            "HISTOGRAM(column) or HISTOGRAM(number, e0, e1, ...)",
            "HISTOGRAM(salary, 0, 5000, 10000, 50000)",
            "Rows by code, or in the bins [e0, e1), ..., the last one closed.",
        ),
        Form(
            "entropy",
            "measure",
            "ENTROPY(column) or ENTROPY(number, e0, e1, ...)",
            "ENTROPY(employer_region)",
            "Shannon entropy in bits of the bins of such a HISTOGRAM, without `unknown`; both are measured, and paid, once.",
        ),
        Form(
            "top_share",
            "measure",
            "TOP_SHARE(number, share, e0, e1, ...)",
            "TOP_SHARE(salary, 0.1, 0, 5000, 10000, 20000, 50000)",
            "What the top `share` of the rows with a value hold of the total, each row at the middle of its bin. Whole numbers of "
            "few values need no edges. HISTOGRAM and ENTROPY with the same edges are measured, and paid, with it.",
        ),
        Form(
            "top_codes",
            "measure",
            "TOP_SHARE(category, k)",
            "TOP_SHARE(employer_region, 3)",
            "The part of the rows with a code that the k most frequent codes have.",
        ),
        Form(
            "filter",
            "measure",
            "measure FILTER (WHERE condition)",
            "COUNT(DISTINCT pid) FILTER (WHERE ontime)",
            "The measure over the rows for which the condition is true.",
        ),
        Form(
            "key",
            "key",
            "column",
            "study_level",
            "A category, boolean or whole-number column; every public code gets a cell, and `unknown` one more.",
        ),
        Form(
            "bin",
            "key",
            "bin(number, e0, e1, ...)",
            "bin(salary, 0, 5000, 10000, 50000)",
            "The public bins [e0, e1), ..., the last one closed.",
        ),
        Form(
            "case",
            "key",
            "CASE WHEN condition THEN 'label' ... [ELSE 'label'] END",
            "CASE WHEN study_level IN ('1', '2') THEN 'postgraduate' ELSE 'other' END",
            "Groups of one's own: the first condition that is true decides; also CASE column WHEN value. Without ELSE, `unknown`.",
        ),
        Form(
            "sets",
            "key",
            "GROUPING SETS ((keys), ...), CUBE (keys), ROLLUP (keys)",
            "CUBE (study_level, gender)",
            "In GROUP BY: a table with its margins. Each is measured, and all are made to add up; (all) marks what is added up.",
        ),
        Form("fact", "key", "fact", "province", "A public fact of the universities. Grouping by it costs nothing."),
        Form(
            "fact_filter",
            "condition",
            "fact = 'code' or fact IN ('code', ...)",
            "province IN ('11', '31')",
            "Asks only the universities with that fact; on its own or after AND, in WHERE.",
        ),
        Form(
            "code",
            "condition",
            "category = 'code' or category IN ('code', ...)",
            "study_level IN ('3', '4')",
            "Equality with codes of the public list; <> and NOT IN likewise.",
        ),
        Form(
            "compare",
            "condition",
            "number < value (also <=, >, >=, =, <>)",
            "salary >= 6000",
            "Comparison with a value in natural units.",
        ),
        Form(
            "in", "condition", "number IN (value, ...)", "year IN (2024, 2025)", "Equality with one of the values; NOT IN likewise."
        ),
        Form(
            "between",
            "condition",
            "number BETWEEN low AND high",
            "salary BETWEEN 4000 AND 8000",
            "Both ends included; NOT BETWEEN likewise.",
        ),
        Form(
            "boolean",
            "condition",
            "boolean",
            "ontime",
            "A boolean column alone, or = TRUE, = FALSE, = 1, = 0, IS TRUE, IS NOT TRUE.",
        ),
        Form(
            "null",
            "condition",
            "column IS NULL",
            "salary IS NULL",
            "The value is missing or outside the public list; IS NOT NULL likewise.",
        ),
        Form(
            "logic",
            "condition",
            "condition AND condition (also OR, NOT, parentheses)",
            "ontime AND NOT matched",
            "Three-valued, as in SQL: a null is neither true nor false.",
        ),
        Form("alias", "measure", "item AS name", "COUNT(*) AS graduates", "The title of the column in the table."),
        Form(
            "having",
            "choice",
            "HAVING figure > value (also <, <=, >=, =, <>, BETWEEN, AND, OR, NOT)",
            "HAVING COUNT(*) >= 100",
            "Shows the rows whose noisy figure, one of SELECT, fulfils it, and marks those whose interval reaches across.",
        ),
        Form(
            "order",
            "choice",
            "ORDER BY figure or key [DESC]",
            "ORDER BY COUNT(*) DESC, study_level",
            "Sorts the finished table; every row says which places its interval leaves it.",
        ),
        Form(
            "limit",
            "choice",
            "ORDER BY ... LIMIT n",
            "ORDER BY COUNT(*) DESC LIMIT 10",
            "Shows the first n rows, and says how many of the others may belong among them.",
        ),
        Form(
            "release",
            "choice",
            "RELEASE NATIONAL (or RELEASE PER NODE, the default), as the last words",
            "RELEASE NATIONAL",
            "Only the sum over all universities is uncovered, with the noise of one of them; no university's own figure exists.",
        ),
    )
}


def remedy(name: str) -> str:
    """The sentence that proposes a form."""
    form = GRAMMAR[name]
    if form.form == form.example:
        return f"Write {form.form}."
    return f"Write {form.form}, for example {form.example}."


# Parts of a SELECT as sqlglot names them: the words that begin them in the text, why not, and what to write instead.
CLAUSES: dict[str, tuple[str, str, str]] = {
    "with_": ("WITH", "a question is one SELECT from one dataset", "Put the conditions into WHERE."),
    "distinct": ("DISTINCT", "SELECT DISTINCT would list values", "Write GROUP BY, or COUNT(DISTINCT person) to count persons."),
    "joins": ("JOIN", "a question is about one dataset", "Ask one question for each dataset."),
    "laterals": ("LATERAL", "a question is about one dataset", "Ask one question for each dataset."),
    "qualify": ("QUALIFY", "rows are chosen by HAVING", "Write HAVING, or ORDER BY and LIMIT."),
    "windows": ("WINDOW", "windows look at single rows", "Leave it out; group with GROUP BY."),
    "offset": ("OFFSET", "a table begins with its first row", "Leave it out and cut the table that comes back."),
    "sample": ("SAMPLE", "samples are not taken", "Leave it out."),
    "into": ("INTO", "a question stores nothing", "Leave it out."),
    "pivots": ("PIVOT", "the table is not turned here", "Write GROUP BY."),
}

# Functions by their name in the text: why not, and the name of the form to use instead ("" if there is none).
FUNCTIONS: dict[str, tuple[str, str]] = {
    "QUANTILE_CONT": ("quantiles come from bins", "quantile"),
    "PERCENTILE_CONT": ("quantiles come from bins", "quantile"),
    "PERCENTILE_DISC": ("quantiles come from bins", "quantile"),
    "APPROX_QUANTILE": ("quantiles come from bins", "quantile"),
    "MAD": ("quantiles come from bins", "quantile"),
    "MODE": ("the most frequent value comes from a histogram", "histogram"),
    "MIN": ("a smallest value is one person's value", "histogram"),
    "MAX": ("a largest value is one person's value", "histogram"),
    "ANY_VALUE": ("it would show one person's value", "histogram"),
    "FIRST": ("it would show one person's value", "histogram"),
    "LAST": ("it would show one person's value", "histogram"),
    "LIST": ("it would list persons' values", "histogram"),
    "ARRAY_AGG": ("it would list persons' values", "histogram"),
    "STRING_AGG": ("it would list persons' values", "histogram"),
    "APPROX_COUNT_DISTINCT": ("only persons are counted distinct", "people"),
    "GINI": ("how uneven a total is shared is told by the part of the top", "top_share"),
    "HHI": ("how uneven rows are shared among codes is told by the largest of them", "top_codes"),
    "VAR_SAMP": ("the variance here is the population's", "variance"),
    "STDDEV_SAMP": ("the standard deviation here is the population's", "stddev"),
    "BOOL_OR": ("it would show whether one person is there", "rows_if"),
    "BOOL_AND": ("it would show whether one person is there", "rows_if"),
    "IF": ("there is no conditional value", "filter"),
    "IFF": ("there is no conditional value", "filter"),
    "COALESCE": ("nulls have a cell of their own, `unknown`", "null"),
    "IFNULL": ("nulls have a cell of their own, `unknown`", "null"),
    "NULLIF": ("a ratio by zero is shown as missing without it", "ratio"),
    "ROUND": ("rounding is presentation", "bin"),
    "FLOOR": ("values are grouped by public edges", "bin"),
    "WIDTH_BUCKET": ("values are grouped by public edges", "bin"),
    "COVAR_POP": ("it comes with the slope", "slope"),
    "COVAR_SAMP": ("it comes with the slope", "slope"),
    "REGR_R2": ("it is the square of the correlation", "correlation"),
    "REGR_COUNT": ("it is a count of rows", "rows_if"),
}

# Kinds of expression as sqlglot names them: the same for what is no function. Without a form, the one that fits the place is named.
NODES: dict[str, tuple[str, str]] = {
    "Case": ("CASE makes keys, not figures", "filter"),
    "Cast": ("nothing is cast: columns have the types of the schema", ""),
    "TryCast": ("nothing is cast: columns have the types of the schema", ""),
    "Like": ("texts are compared by code only", "code"),
    "ILike": ("texts are compared by code only", "code"),
    "SimilarTo": ("texts are compared by code only", "code"),
    "RegexpLike": ("texts are compared by code only", "code"),
    "Glob": ("texts are compared by code only", "code"),
    "NullSafeEQ": ("IS NOT DISTINCT FROM is not offered", "null"),
    "NullSafeNEQ": ("IS DISTINCT FROM is not offered", "null"),
    "Exists": ("a condition is about the same row", "logic"),
    "Subquery": ("a question is one SELECT from one dataset", "statement"),
    "Select": ("a question is one SELECT from one dataset", "statement"),
    "Any": ("ANY is not offered", "in"),
    "All": ("ALL is not offered", "in"),
    "WithinGroup": ("quantiles come from bins", "quantile"),
    "Window": ("OVER looks at single rows", "proportion"),
    "Star": ("rows never leave a university", "statement"),
    "Placeholder": ("there are no parameters here", "compare"),
    "Parameter": ("there are no parameters here", "compare"),
    "Tuple": ("values are compared one by one", "logic"),
    "Rollup": ("it stands in GROUP BY", "sets"),
    "Cube": ("it stands in GROUP BY", "sets"),
    "GroupingSets": ("it stands in GROUP BY", "sets"),
    "Xor": ("XOR is not offered", "logic"),
    "Interval": ("there are no dates in the schema", "compare"),
}
