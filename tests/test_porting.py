"""Each row of the tables in docs/porting.md: the call of the other library and the call of cecore give the same result.

The page is the only source. Its doctests define the arrays. The Python block in a library's section holds the imports
of this library. A row holds two expressions between backticks. Rows of a library that is not installed are skipped;
the extra ``compare`` installs all libraries.
"""

from __future__ import annotations

import ast
import doctest
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = "torch"  # Keras reads it when it is imported

PAGE = (Path(__file__).parent.parent / "docs" / "porting.md").read_text(encoding="utf-8")
UNSCALED = "Rows that do not sum to 1"
TOPICS = {  # the sections of the options
    "Divisor of the mean",
    "Clip",
    UNSCALED,
    "Weights",
    "class_weight",
    "pos_weight",
    "Label smoothing",
    "Ignored labels",
    "Focal gamma",
    "Focal alpha",
    "Reduction",
    "from_logits",
    "Gradient by hand",
}


class Library(NamedTuple):
    modules: tuple[str, ...]
    rtol: float


LIBRARIES = {
    "PyTorch": Library(("torch",), 1e-12),
    "Keras": Library(("torch", "keras"), 5e-7),  # it divides in float32, whatever floatx is
    "scikit-learn": Library(("sklearn",), 1e-12),
    "optax": Library(("jax", "optax"), 1e-12),
    "NumPy": Library((), 1e-12),
}


# ---------------------------------------------------------------- the page


class Row(NamedTuple):
    section: str
    library: str
    theirs: str
    ours: str


def expression(cell: str) -> str:
    match = re.fullmatch(r"`([^`]+)`", cell)
    assert match, f"docs/porting.md: expected one expression between backticks, got: {cell}"
    return match[1]


def parse(page: str) -> tuple[list[Row], dict[str, str]]:
    """The rows of all tables, and the Python block of each library's section."""
    rows, imports, section = [], {}, ""
    blocks = re.split(r"^(```python\n.*?^```$)", page, flags=re.DOTALL | re.MULTILINE)
    for block in blocks:
        if block.startswith("```python\n"):
            if ">>>" not in block:
                assert section in LIBRARIES, f"docs/porting.md: a Python block in the section {section}"
                imports[section] = block.removeprefix("```python\n").removesuffix("```")
            continue
        header: list[str] = []
        for line in block.splitlines():
            if line.startswith("#"):
                section = line.lstrip("#").strip()
            if not line.startswith("|"):
                header = []
                continue
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if not header:
                header = cells
                assert header in ([section, "cecore"], ["from", "their call", "cecore"]), line
            elif not re.fullmatch(r"[|\- ]+", line):
                library = section if len(header) == 2 else cells[0]
                theirs, ours = cells[-2:]
                assert len(cells) == len(header), line
                rows.append(Row(section, library, expression(theirs), expression(ours)))
    return rows, imports


ROWS, IMPORTS = parse(PAGE)
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section}: {row.theirs}")


def test_the_page_has_rows_for_each_library_and_option():
    assert {row.section for row in ROWS} == TOPICS | set(LIBRARIES)
    assert set(IMPORTS) == {name for name, library in LIBRARIES.items() if library.modules}
    calls = Counter(row.library for row in ROWS if row.section in LIBRARIES)
    options = Counter(row.library for row in ROWS if row.section in TOPICS)
    for name in LIBRARIES:
        assert calls[name] >= 5, name
        assert options[name] >= 5, name
    assert len(ROWS) == len(re.findall(r"^\| .*`.* \|$", PAGE, re.MULTILINE))


# ---------------------------------------------------------------- the rows


@pytest.fixture(scope="module")
def namespaces() -> dict[str, dict[str, Any]]:
    return {}


@pytest.fixture
def names(row: Row, namespaces: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The page's arrays, and the modules of the row's library."""
    for module in LIBRARIES[row.library].modules:
        pytest.importorskip(module, reason=f"{module} is not installed: pip install 'cecore[compare]'")
    if row.library not in namespaces:
        code = "".join(example.source for example in doctest.DocTestParser().get_examples(PAGE))
        namespaces[row.library] = {}
        exec(code + IMPORTS.get(row.library, ""), namespaces[row.library])
    return namespaces[row.library]


def arrays(result: Any) -> list[np.ndarray]:
    results = result if isinstance(result, tuple) else (result,)
    return [np.asarray(one.detach() if hasattr(one, "detach") else one) for one in results]


def agree(got: Any, want: Any, rtol: float) -> bool:
    return all(
        one.shape == other.shape and np.allclose(one, other, rtol=rtol, atol=0)
        for one, other in zip(arrays(got), arrays(want), strict=True)
    )


@each_row
def test_both_calls_agree(row, names):
    with warnings.catch_warnings():
        if row.section == UNSCALED:
            warnings.simplefilter("ignore", UserWarning)
        got, want = eval(row.ours, names), eval(row.theirs, names)
    assert all(np.isfinite(one).all() and one.any() for one in arrays(want)), "nothing is compared"
    assert agree(got, want, LIBRARIES[row.library].rtol), f"{row.ours} is {got}, and {row.theirs} is {want}"


def without_each_option(code: str) -> Iterator[tuple[str, str]]:
    """The expression without one of the options of its calls of cecore, for each option."""
    tree = ast.parse(code, mode="eval")
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("cecore."):
            keywords = call.keywords
            for keyword in keywords:
                call.keywords = [other for other in keywords if other is not keyword]
                yield str(keyword.arg), ast.unparse(tree)
            call.keywords = keywords


@each_row
def test_each_option_changes_the_result(row, names):
    """Else the row would not show that the option is needed, and a wrong one would pass."""
    whole = eval(row.ours, names)
    for option, code in without_each_option(row.ours):
        if option == "reduction" and 'reduction="mean"' in row.ours:
            continue  # the default, named
        try:
            result = eval(code, names)
        except (ValueError, AttributeError):
            continue  # a label outside 0..C-1, shapes that do not fit, or a method of an array called on a float
        assert not agree(result, whole, 1e-6), f"{option} does not matter in {row.ours}"
