"""Check the types that users of the installed cecore see, with mypy and pyright, on the two files in tests/typing.

    python tools/check_types.py

user_code.py must use every public name, run, and have no error. In mistakes.py every line with the comment "mistake"
must have an error, and no other line. No public type may be unknown. The tool exits with 1 if a check fails.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cecore

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "typing"
USER_CODE, MISTAKES = "user_code.py", "mistakes.py"
Errors = dict[tuple[str, int], str]  # the message at each file and line


def output_of(folder: str, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout.strip():
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def mypy(folder: str) -> Errors:
    lines = output_of(folder, "-m", "mypy", "--strict", "--output=json", USER_CODE, MISTAKES).splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return {(error["file"], error["line"]): error["message"] for error in found if error["severity"] == "error"}


def pyright(folder: str) -> Errors:
    arguments = ("--outputjson", "--pythonpath", sys.executable, USER_CODE, MISTAKES)
    found = json.loads(output_of(folder, "-m", "pyright", *arguments))["generalDiagnostics"]
    return {
        (Path(error["file"]).name, error["range"]["start"]["line"] + 1): error["message"]
        for error in found
        if error["severity"] != "information"
    }


def unknown_types(folder: str) -> list[str]:
    """Name the public things whose type pyright cannot tell."""
    arguments = ("--outputjson", "--pythonpath", sys.executable, "--ignoreexternal", "--verifytypes", "cecore")
    symbols = json.loads(output_of(folder, "-m", "pyright", *arguments))["typeCompleteness"]["symbols"]
    found = [symbol["name"] for symbol in symbols if symbol["isExported"] and not symbol["isTypeKnown"]]
    print(f"pyright: {len(symbols)} symbols, {len(found)} public ones of unknown type")
    return [f"{name} has an unknown type" for name in found] or (
        [] if symbols else ["pyright finds no public name: an editable install?"]
    )


def problems(checker: str, errors: Errors) -> list[str]:
    """Say where a checker's errors are not the expected ones."""
    lines = (FOLDER / MISTAKES).read_text().splitlines()
    expected = {(MISTAKES, number) for number, line in enumerate(lines, 1) if "# mistake: " in line}
    found = [f"{name}:{line}: {checker} finds no error: {lines[line - 1]}" for name, line in expected - set(errors)]
    found += [f"{name}:{line}: {checker}: {errors[name, line]}" for name, line in set(errors) - expected]
    print(f"{checker}: {len(expected & set(errors))} of {len(expected)} mistakes found, {len(found)} problems")
    return sorted(found)


def main() -> int:
    print(f"the types of {Path(cecore.__file__).parent}")
    names = set(re.findall(r"\bcecore\.(\w+)", (FOLDER / USER_CODE).read_text()))
    found = [f"{USER_CODE} does not use {name}" for name in cecore.__all__ if name not in names]
    with tempfile.TemporaryDirectory() as folder:  # outside the repository, where the checkers would read src
        for name in (USER_CODE, MISTAKES):
            shutil.copy(FOLDER / name, folder)
        subprocess.run([sys.executable, USER_CODE], cwd=folder, check=True)
        found += problems("mypy", mypy(folder)) + problems("pyright", pyright(folder)) + unknown_types(folder)
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
