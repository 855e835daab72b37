"""Derive the polynomial coefficients in src/cecore/kernels/scalar_math.h.

    python tools/coefficients.py            print the coefficients and their errors
    python tools/coefficients.py --check    compare them with scalar_math.h (ten seconds)

Each polynomial is the minimax fit of its target. A weight makes the error relative to the value of the function. The
Remez exchange algorithm finds the fit. Then the coefficients are rounded one at a time, lowest degree first. After each
rounding the remaining coefficients are fitted again, so that they absorb the rounding error.
"""

from __future__ import annotations

import argparse
import struct
import sys
import textwrap
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 50
HEADER = Path(__file__).parents[1] / "src" / "cecore" / "kernels" / "scalar_math.h"


def to_double(value) -> float:
    return float(value)


def to_single(value) -> float:
    return struct.unpack("f", struct.pack("f", float(value)))[0]


def log_atanh(z):
    """Return (log((1+s)/(1-s)) - 2s) / s^3 with z = s^2, which is 2/3 + 2z/5 + 2z^2/7 + ..."""
    if abs(z) < mpf("1e-9"):
        return mpf(2) / 3 + 2 * z / 5 + 2 * z * z / 7
    s = mp.sqrt(z)
    return (mp.log((1 + s) / (1 - s)) - 2 * s) / s**3


def log_taylor(f):
    """Return (log(1+f) - f + f^2/2) / f^3."""
    if abs(f) < mpf("1e-9"):
        return mpf(1) / 3 - f / 4 + f * f / 5
    return (mp.log1p(f) - f + f * f / 2) / f**3


def exp_taylor(r):
    """Return (exp(r) - 1 - r) / r^2."""
    if abs(r) < mpf("1e-9"):
        return mpf(1) / 2 + r / 6 + r * r / 24
    return (mp.expm1(r) - r) / (r * r)


def coth_tail(w):
    """Return (r coth(r/2) - 2) / r^2 with w = r^2, which is 1/6 - w/360 + w^2/15120."""
    if abs(w) < mpf("1e-9"):
        return mpf(1) / 6 - w / 360 + w * w / 15120
    r = mp.sqrt(w)
    return (r * mp.coth(r / 2) - 2) / w


def relative_to_exp(w):
    """Return by how much an error of coth_tail changes exp(r) = (K + r) / (K - r), relatively: about r^3 / 2."""
    return w * mp.sqrt(w) / 2


def relative_to_log(power):
    def weight(f):
        return f**power / mp.log1p(f) if f else mpf(0)

    return weight


ROOT_HALF = mp.sqrt(mpf(1) / 2)
HALF_LN2 = mp.log(2) / 2 * (1 + mpf(2) ** -20)
# table, target, weight, interval, degree, rounding
FITS = [
    ("log", log_atanh, lambda z: z / 2, (mpf(0), ((ROOT_HALF - 1) / (ROOT_HALF + 1)) ** 2), 6, to_double),
    ("logf", log_taylor, relative_to_log(3), (ROOT_HALF - 1, mp.sqrt(2) - 1), 7, to_single),
    ("ratio", log_atanh, lambda z: z / 2, (mpf(0), mpf("0.2005") ** 2), 6, to_double),
    ("ratiof", log_atanh, lambda z: z / 2, (mpf(0), mpf("0.2005") ** 2), 2, to_single),
    ("log1p", log_atanh, lambda z: z / 2, (mpf(0), mpf(1) / 9), 9, to_double),
    ("log1pf", log_atanh, lambda z: z / 2, (mpf(0), mpf(1) / 9), 3, to_single),
    ("coth", coth_tail, relative_to_exp, (mpf(0), HALF_LN2**2), 4, to_double),
    ("cothf", coth_tail, relative_to_exp, (mpf(0), HALF_LN2**2), 1, to_single),
    # an even number of coefficients needs an interval whose middle, where the weight is 0, is not 0
    ("exp", exp_taylor, lambda r: r * r / mp.exp(r), (-HALF_LN2, mpf("0.351")), 9, to_double),
    ("expf", exp_taylor, lambda r: r * r / mp.exp(r), (-HALF_LN2, HALF_LN2), 4, to_single),
    ("power", exp_taylor, lambda r: r * r / mp.exp(r), (-HALF_LN2, HALF_LN2), 10, to_double),
]


def alternation(error, count):
    """Return the indices of ``count`` peaks with alternating signs. The smallest peak is as large as possible."""
    peaks: list[int] = []
    for i, value in enumerate(error):
        if peaks and (value > 0) == (error[peaks[-1]] > 0):
            if abs(value) > abs(error[peaks[-1]]):
                peaks[-1] = i
        elif value:
            peaks.append(i)
    while len(peaks) > count:
        least = min(range(len(peaks)), key=lambda j: abs(error[peaks[j]]))
        if len(peaks) == count + 1:
            least = 0 if abs(error[peaks[0]]) < abs(error[peaks[-1]]) else len(peaks) - 1
        if 0 < least < len(peaks) - 1:
            neighbour = min(peaks[least - 1], peaks[least + 1], key=lambda i: abs(error[i]))
            peaks = [i for i in peaks if i not in (peaks[least], neighbour)]
        else:
            peaks.pop(least)
    return peaks


def remez(target, weight, powers, grid):
    """Return the minimax coefficients of ``powers`` for ``target``, and the largest weighted error."""
    count = len(powers)
    desired = [target(x) for x in grid]
    weights = [weight(x) for x in grid]
    last = len(grid) - 1  # the grid already has the spacing of Chebyshev extrema
    picks = [1 + j * (last - 1) // count for j in range(count + 1)]
    for _ in range(60):
        system = mp.matrix(count + 1, count + 1)
        right = mp.matrix(count + 1, 1)
        for row, i in enumerate(picks):
            for column, power in enumerate(powers):
                system[row, column] = abs(weights[i]) * grid[i] ** power
            system[row, count] = (-1) ** row
            right[row] = abs(weights[i]) * desired[i]
        solution = mp.lu_solve(system, right)
        error = [
            (sum(solution[c] * x**p for c, p in enumerate(powers)) - d) * w
            for x, d, w in zip(grid, desired, map(abs, weights), strict=True)
        ]
        worst = max(map(abs, error))
        if worst <= abs(solution[count]) * (1 + mpf("1e-4")):
            break
        peaks = alternation(error, count + 1)
        if len(peaks) < count + 1:
            raise ArithmeticError("the error does not alternate often enough")
        picks = peaks
    return [solution[i] for i in range(count)], worst


def fit(target, weight, interval, degree, rounded):
    low, high = interval
    points = 60 * (degree + 2)
    grid = [low + (high - low) * (1 - mp.cos(mp.pi * j / points)) / 2 for j in range(points + 1)]
    fixed: list[float] = []
    _, ideal = remez(target, weight, range(degree + 1), grid)
    for power in range(degree + 1):

        def rest(x, fixed=tuple(fixed)):
            return target(x) - sum(mpf(c) * x**i for i, c in enumerate(fixed))

        coefficients, _ = remez(rest, weight, range(power, degree + 1), grid)
        fixed.append(rounded(coefficients[0]))
    final = max(abs((sum(mpf(c) * x**i for i, c in enumerate(fixed)) - target(x)) * weight(x)) for x in grid)
    return fixed, ideal, final


def split_ln2(bits: int, rounded):
    """Split ln 2 into a head and a tail. The head has ``bits`` bits, so its product with an exponent is exact."""
    scale = mpf(2) ** bits
    head = mp.nint(mp.log(2) * scale) / scale
    return rounded(head), rounded(mp.log(2) - head)


def literal(value: float, rounded) -> str:
    """Write a number as C does, in hexadecimal, without the zeros at the end of the significand."""
    digits, exponent = value.hex().split("p")
    return f"{digits.rstrip('0').rstrip('.')}p{exponent}{'f' if rounded is to_single else ''}"


def definitions():
    """Yield (C code, remark) for every constant and table that scalar_math.h takes from here."""
    for suffix, bits, rounded in (("", 41, to_double), ("F", 15, to_single)):
        head, tail = split_ln2(bits, rounded)
        values = {"LN2_HEAD": head, "LN2_TAIL": tail, "LN2": rounded(mp.log(2)), "LOG2E": rounded(1 / mp.log(2))}
        for name, value in values.items():
            yield f"#define CECORE_{name}{suffix} {literal(value, rounded)}", ""
    for name, target, weight, interval, degree, rounded in FITS:
        coefficients, ideal, final = fit(target, weight, interval, degree, rounded)
        numbers = textwrap.wrap(", ".join(literal(c, rounded) for c in coefficients), 115)
        kind = "float" if rounded is to_single else "double"
        table = "\n".join([f"static const {kind} cecore_table_{name}[] = {{", *(f"    {n}" for n in numbers), "};"])
        errors = [f"2^{float(mp.log(error, 2)):.2f}" for error in (final, ideal)]
        yield table, f"relative error {errors[0]}, {errors[1]} before rounding"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if scalar_math.h holds other values")
    check = parser.parse_args().check
    header = HEADER.read_text()
    wrong = tables = 0
    for code, remark in definitions():
        tables += code.startswith("static")
        if not check:
            print(code + (f"  /* {remark} */" if remark else ""))
        elif f"{code}\n" not in header:
            print(f"scalar_math.h lacks\n{code}")
            wrong += 1
    if check and header.count("static const") != tables:
        print("scalar_math.h has a table that is not derived here")
        wrong += 1
    if check:
        print(f"{wrong} differences" if wrong else "every constant in scalar_math.h equals its derived value")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
