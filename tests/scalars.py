"""The scalar functions of the kernels: how to call them, their exact values, and the bounds that the headers state."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import mpmath
import numpy as np

from cecore import _dispatch

mpmath.mp.dps = 60
HEADERS = Path(__file__).parents[1] / "src" / "cecore" / "kernels"
LANES = 16  # evaluate takes whole vectors
STATEMENT = re.compile(r"below ([\d.]+) ULP \(([\d.]+)\)(?:, in float below ([\d.]+) \(([\d.]+)\))?")


def stated() -> dict[str, list[tuple[float, float]]]:
    """Return the bounds and the largest errors found, as the comment above each function states them.

    A comment states them for double, then for float, if the function exists for float, too. A comment that makes two
    statements first means the result, then the result with its error added.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for header in ("scalar_math.h", "scalar_functions.h"):
        text = (HEADERS / header).read_text()
        for comment, name in re.findall(r"/\*((?:(?!\*/).)*)\*/\nCECORE_INLINE.*?cecore_(\w+)", text, re.DOTALL):
            figures = [f for match in STATEMENT.findall(re.sub(r"\n \* *", " ", comment)) for f in match if f]
            if figures:
                found[name] = [(float(b), float(e)) for b, e in zip(figures[::2], figures[1::2], strict=True)]
    return found


def evaluate(number: int, *arguments: np.ndarray) -> np.ndarray:
    """Return a result of a scalar function, by its number in probe.pxi."""
    a = np.zeros((3, -(-len(arguments[0]) // LANES) * LANES), arguments[0].dtype)
    a[: len(arguments), : len(arguments[0])] = arguments
    out = np.empty_like(a[0])
    _dispatch.kernels.evaluate(number, a[0], a[1], a[2], out)
    return out[: len(arguments[0])]


STATED = stated()


class Range(NamedTuple):
    """Where an argument lies, and how it is drawn: "even", "scales" (its logarithm is even) or "whole"."""

    low: float
    high: float
    kind: str = "even"

    def draw(self, rng: np.random.Generator, n: int, dtype: Any) -> np.ndarray:
        if self.kind == "scales":
            x = np.exp2(rng.uniform(math.log2(self.low), math.log2(self.high), n)).astype(dtype)
        elif self.kind == "whole":
            x = rng.integers(int(self.low), int(self.high), n, endpoint=True).astype(dtype)
        else:
            x = rng.uniform(self.low, self.high, n).astype(dtype)
        x[:3] = self.low, self.high, np.nextafter(dtype(self.low), dtype(self.high))
        return np.clip(x, self.low, self.high).astype(dtype)

    def edges(self, dtype: Any) -> np.ndarray:
        """Return the ends, numbers at which reductions change, and their neighbours."""
        info = np.finfo(dtype)
        cuts = [0.25, 0.5, 1, 2, 1 / 3, 2 / 3, math.sqrt(0.5), math.sqrt(0.5) / 2, math.sqrt(2) - 1, math.sqrt(2)]
        cuts += [(k + half) * math.log(2) for k in (0, 1, 2, 30, 60) for half in (0, 0.5)]
        cuts = np.array([0, self.low, self.high, *cuts, float(info.tiny), float(info.smallest_subnormal)], dtype)
        cuts = np.concatenate([cuts, -cuts])
        cuts = np.concatenate([cuts, np.nextafter(cuts, dtype(-np.inf)), np.nextafter(cuts, dtype(np.inf))])
        cuts = np.rint(cuts) if self.kind == "whole" else cuts
        return np.unique(cuts[(cuts >= self.low) & (cuts <= self.high)])


class Wide:
    """What exact values are made of, for arrays of a wider NumPy type."""

    log, log1p, exp = np.log, np.log1p, np.exp
    where = staticmethod(np.where)
    ldexp = staticmethod(lambda x, n: np.ldexp(x, n.astype(int)))
    double = staticmethod(lambda x: x.astype(np.float64))


class Exact:
    """The same in high precision."""

    log, log1p, exp = staticmethod(mpmath.log), staticmethod(mpmath.log1p), staticmethod(mpmath.exp)
    where = staticmethod(lambda condition, x, y: x if condition else y)
    ldexp = staticmethod(lambda x, n: mpmath.ldexp(x, int(n)))
    double = staticmethod(float)


@dataclass(frozen=True)
class Scalar:
    """A function whose arguments follow from free variables, and its exact value."""

    name: str  # in the header
    domain: Callable[[Any], list[tuple[Range, ...]]]  # boxes of free variables, for a type
    exact: Callable[..., Any]  # from Wide or Exact, and the arguments
    call: Callable[..., tuple[np.ndarray, ...]]  # the results of arguments
    arguments: Callable[..., tuple[np.ndarray, ...]] = lambda *free: free
    value: Callable[..., Any] = lambda result: result  # of the results, in a wide type
    statement: int = 0  # which statement of the header counts
    allowance: Callable[..., Any] | None = None  # an error in ULP that the bound allows in addition, for arguments
    only_double: bool = False

    def dtypes(self) -> tuple[type, ...]:
        return (np.float64,) if self.only_double else (np.float64, np.float32)

    def stated(self, dtype: Any) -> tuple[float, float]:
        """Return the bound and the largest error found, in ULP."""
        return STATED[self.name][self.statement * len(self.dtypes()) + self.dtypes().index(dtype)]

    def errors(self, *free: np.ndarray, exactly: bool = False) -> np.ndarray:
        """Return the error for each argument in ULP, compared with a wider type or exactly.

        An error counts as 0 if the exact value is not a normal number, unless the value is made of several results.
        """
        dtype = free[0].dtype.type
        given = self.arguments(*free)
        results = self.call(*given)
        m: Any = Exact if exactly else Wide
        wide = object if exactly else np.longdouble if dtype == np.float64 else np.float64

        def widened(arrays: tuple[np.ndarray, ...]) -> list[Any]:
            return [np.array([mpmath.mpf(float(v)) for v in a]) if exactly else a.astype(wide) for a in arrays]

        def each(function: Callable[..., Any], *arrays: Any) -> Any:
            return np.array([function(*v) for v in zip(*arrays, strict=True)]) if exactly else function(*arrays)

        with np.errstate(all="ignore"):
            exact = each(partial(self.exact, m), *widened(given))
            error = abs(each(self.value, *widened(results)) - exact)
            usable = np.isfinite(exact.astype(np.longdouble)) & (exact != 0)
            if len(results) == 1:
                usable &= (abs(exact) >= np.finfo(dtype).tiny) & (abs(exact) < np.finfo(dtype).max)
            exponent = np.frexp(np.where(usable, exact, 1).astype(np.longdouble))[1] - np.finfo(dtype).nmant - 1
            error = error / np.ldexp(np.longdouble(1), exponent)
            if self.allowance:
                error = np.maximum(
                    error.astype(np.longdouble) - self.allowance(*(a.astype(np.longdouble) for a in given)), 0
                )
        return np.where(usable, error, 0).astype(np.float64)


def is_double(dtype: Any) -> bool:
    return dtype == np.float64


def result(*numbers: int) -> Callable[..., tuple[np.ndarray, ...]]:
    return lambda *given: tuple(evaluate(number, *given) for number in numbers)


def pair(x: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return a probability and its complement: x and 1 - x, or 1 - x and x."""
    return np.where(kind == 0, x, 1 - x), np.where(kind == 0, 1 - x, x)


def with_low(x: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return x and a low part, which is given in ULP."""
    return x, low * np.spacing(x)


def any_exponential(x: np.ndarray, short: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return e, n and scale, by one of the two forms."""
    return tuple(np.where(short == 0, evaluate(i, x), evaluate(i + 3, x)) for i in (10, 11, 12))


def sigmoid(z: np.ndarray, short: np.ndarray) -> tuple[np.ndarray, ...]:
    e, n, scale = any_exponential(-abs(z), short)
    return (np.where(z > 0, evaluate(17, n, e, scale), evaluate(18, n, e, scale)),)


def row_arguments(x: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return x and the shifter for which the exponential of x is near 2^k."""
    zero = 1.5 * 2**52 + 1023 if is_double(x.dtype) else 1.5 * 2**23 + 127
    return x, (zero - (np.rint(x.astype(np.float64) * math.log2(math.e)) - k)).astype(x.dtype)


def row_exact(m: Any, x: Any, shifter: Any) -> Any:
    double, single = 1.5 * 2**52 + 1023, 1.5 * 2**23 + 127
    return m.ldexp(m.exp(x), m.where(shifter > 2.0**40, shifter - double, shifter - single))


def log_ratio(m: Any, a: Any, b: Any) -> Any:
    return m.where(abs(a - b) < b / 2, m.log1p((a - b) / b), m.log(a / b))


CHOICE = Range(0, 1, "whole")
LOW = Range(-2, 2)
LIMITS = {np.float64: (700, 2.0**-1000, 799, 2800), np.float32: (80, 2.0**-120, 119, 350)}


def probabilities(dtype: Any) -> list[tuple[Range, ...]]:
    least = float(np.finfo(dtype).tiny)
    near = [(Range(low, 1 - float(np.finfo(dtype).epsneg)), CHOICE) for low in (0.3, 0.7, 0.999)]
    return [*near, (Range(least, 1, "scales"), Range(0, 0, "whole")), (Range(2 * least, 0.6, "scales"), CHOICE)]


def exponents(dtype: Any) -> list[tuple[Range, ...]]:
    return [(Range(-limit, limit),) for limit in (LIMITS[dtype][0], 40, 1)]


def any_exponents(dtype: Any) -> list[tuple[Range, ...]]:
    return [(Range(-limit, 0), CHOICE) for limit in (LIMITS[dtype][2], 40, 1)]


def rows(dtype: Any) -> list[tuple[Range, ...]]:
    k = Range(-900, 1000, "whole") if is_double(dtype) else Range(-60, 120, "whole")
    return [(Range(-limit, limit), k) for limit in (LIMITS[dtype][3], 40, 1)]


SCALARS = [
    Scalar(
        name="pair_log",
        domain=probabilities,
        arguments=pair,
        call=result(0),
        exact=lambda m, a, b: m.where(a < math.sqrt(0.5), -m.log(a), -m.log1p(-b)),
    ),
    Scalar(
        name="any_pair_log",
        domain=lambda t: [*probabilities(t), (Range(float(np.finfo(t).smallest_subnormal), 1, "scales"), Range(0, 0))],
        arguments=pair,
        call=result(1),
        exact=lambda m, a, b: m.where(a < math.sqrt(0.5), -m.log(a), -m.log1p(-b)),
    ),
    Scalar(
        name="log_ratio",
        domain=lambda t: [
            (Range(LIMITS[t][1], 1, "scales"),) * 2,
            *[(Range(0.001, 1), Range(b, 1)) for b in (0.4, 0.9)],
        ],
        arguments=lambda a, b: (a, np.where(b < 0.4, b, np.minimum(a * b, 1))),
        call=result(2),
        exact=log_ratio,
    ),
    Scalar(
        name="log1p_fraction",
        domain=lambda t: [
            (Range(1.6, 2.4) if is_double(t) else Range(1, 1), e) for e in (Range(0, 1), Range(1e-30, 1, "scales"))
        ],
        arguments=lambda n, e: (n, n * e),
        call=result(3),
        exact=lambda m, n, e: m.log1p(e / n),
    ),
    Scalar(
        name="log1p_row",
        domain=lambda t: [(Range(0, 3), LOW), (Range(0, 0.5), LOW), (Range(1e-30, 1e30, "scales"), LOW)],
        arguments=with_low,
        call=result(4),
        exact=lambda m, x, low: m.log1p(x + low),
    ),
    Scalar(
        name="log1p_unit",
        domain=lambda t: [(Range(0, 1), LOW), (Range(1e-30, 1, "scales"), LOW)],
        arguments=with_low,
        call=result(5),
        exact=lambda m, x, low: m.log1p(x + low),
    ),
    Scalar(
        name="exp_fraction",
        domain=exponents,
        call=result(6, 7),
        value=lambda e, n: e / n,
        exact=lambda m, x: m.exp(x),
    ),
    Scalar(
        name="exp_short_fraction",
        domain=exponents,
        call=result(8, 9),
        value=lambda e, n: e / n,
        exact=lambda m, x: m.exp(x),
    ),
    Scalar(
        name="any_exp_fraction",
        domain=any_exponents,
        call=any_exponential,
        value=lambda e, n, scale: e * scale / n,
        exact=lambda m, x, short: m.exp(x),
    ),
    Scalar(
        name="exp_of_product",
        domain=lambda t: [
            (Range(0.05, 20, "scales"), Range(0, x), Range(0, math.log(2))) for x in (LIMITS[t][0] / 20, 40, 1)
        ],
        call=result(16),
        exact=lambda m, g, x, y: m.exp(-m.double(g) * (1 + 2.0**-26) * (x + y)),  # evaluate multiplies g by that
        allowance=lambda g, x, y: 3 * g * y,
    ),
    Scalar(
        name="sigmoids",
        domain=lambda t: [(Range(-limit, limit), CHOICE) for limit in (LIMITS[t][0], 40, 3)],
        call=sigmoid,
        exact=lambda m, z, short: 1 / (1 + m.exp(-z)),
    ),
    Scalar(
        name="row_exp",
        domain=rows,
        arguments=row_arguments,
        call=result(19),
        exact=row_exact,
    ),
    Scalar(
        name="row_exp",
        domain=rows,
        arguments=row_arguments,
        call=result(19, 20),
        value=lambda e, error: e + error,
        exact=row_exact,
        statement=1,
    ),
    Scalar(
        name="power",
        domain=lambda t: [(Range(0, 1), Range(0.05, 5)), (Range(1e-60, 1, "scales"), Range(0.05, 5))],
        call=result(21),
        exact=lambda m, x, y: x**y,
        only_double=True,
    ),
    Scalar(
        name="product",
        domain=lambda t: [(Range(1e-100, 1e100, "scales"), Range(1e-100, 1e100, "scales"), LOW)],
        arguments=lambda x, y, low: (x, *with_low(y, low)),
        call=result(24),
        exact=lambda m, x, y, low: x * (y + low),
        only_double=True,
    ),
    Scalar(
        name="quotient",
        domain=lambda t: [(Range(1e-100, 1e100, "scales"), Range(1e-100, 1e100, "scales"), LOW)],
        arguments=lambda x, d, low: (x, *with_low(d, low)),
        call=lambda *given: (evaluate(25, *given) + evaluate(26, *given),),
        exact=lambda m, x, d, low: x / (d + low),
        only_double=True,
    ),
]
NAMES = [f"{scalar.name}{' with its error' if scalar.statement else ''}" for scalar in SCALARS]
# Free variables at which the largest errors were found, with fused multiply-add
WITNESSES: dict[tuple[str, str], tuple[str, ...]] = {
    ("pair_log", "float64"): ("0x1.725feef4d1ec9p-3", "0x0p+0"),
    ("pair_log", "float32"): ("0x1.86d10ep-3", "0x0p+0"),
    ("any_pair_log", "float64"): ("0x1.725feef4d1ec9p-3", "0x0p+0"),
    ("any_pair_log", "float32"): ("0x1.86d10ep-3", "0x0p+0"),
    ("log_ratio", "float64"): ("0x1.0033ee5a25abp-2", "0x1.7d7ab869958c4p-1"),
    ("log_ratio", "float32"): ("0x1.24eee2p-1", "0x1.8f3ffap-1"),
    ("log1p_fraction", "float64"): (
        "0x1.9b13bd99b4a2bp+0",
        "0x1.4ba49240f917cp-1",
    ),
    ("log1p_fraction", "float32"): ("0x1p+0", "0x1.ffd01cp-1"),
    ("log1p_row", "float64"): (
        "0x1.a4eb0ed48c58cp-2",
        "-0x1.d18e9c16760ccp+0",
    ),
    ("log1p_row", "float32"): ("0x1.9bb808p-2", "0x1.7bb0b6p+0"),
    ("log1p_unit", "float64"): ("0x1.a0cfd63ad6963p-2", "0x1.d0833030741aep+0"),
    ("log1p_unit", "float32"): (
        "0x1.186362p-2",
        "0x1.a38928p+0",
    ),
    ("exp_fraction", "float64"): ("-0x1.d8491c1b8e0ddp+8",),
    ("exp_fraction", "float32"): ("0x1.da72c4p+5",),
    ("exp_short_fraction", "float64"): ("-0x1.d8491c1b8e0ddp+8",),
    ("exp_short_fraction", "float32"): ("0x1.ac7ffap+4",),
    ("any_exp_fraction", "float64"): (
        "-0x1.d848a05e9c3aep+8",
        "0x1p+0",
    ),
    ("any_exp_fraction", "float32"): (
        "-0x1.b490aep+4",
        "0x1p+0",
    ),
    ("exp_of_product", "float64"): (
        "0x1.469c635e7a4ddp-4",
        "0x1.7bc0a0609a4e3p+3",
        "0x1.1365b0db66633p-7",
    ),
    ("exp_of_product", "float32"): ("0x1.046a02p-2", "0x1.6fae56p+4", "0x1.340abp-7"),
    ("sigmoids", "float64"): ("-0x1.dd0aad7243629p+4", "0x0p+0"),
    ("sigmoids", "float32"): ("-0x1.f32c4ap+0", "0x1p+0"),
    ("row_exp", "float64"): (
        "0x1.f5575ecdb460fp+9",
        "0x1.0cp+8",
    ),
    ("row_exp", "float32"): (
        "0x1.aba87cp+4",
        "-0x1p+4",
    ),
    ("row_exp with its error", "float64"): ("-0x1.9dc9557ba4b45p+7", "0x1.16p+9"),
    ("row_exp with its error", "float32"): (
        "-0x1.791202p+2",
        "0x1.bp+5",
    ),
    ("power", "float64"): ("0x1.67f8068a12747p-193", "0x1.3b843f9fdcf7ap+2"),
    ("product", "float64"): (
        "0x1.fe14af6f6981p+101",
        "0x1.063c09592c65p-326",
        "-0x1.40988b21591bp-3",
    ),
    ("quotient", "float64"): (
        "0x1.be7e11b382d22p-312",
        "0x1.4bf3e45740623p-286",
        "-0x1.830b68c035f43p-2",
    ),
}
