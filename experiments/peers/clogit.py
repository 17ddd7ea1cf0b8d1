"""Conditional logistic regression by R's survival, Debian's `r-cran-survival`.

R reads no arrays of NumPy: they are written as plain numbers, `clogit.R` does, times and
measures as `protocol.py` says, and its coefficients are put into the file of the answer.

Call: python clogit.py exact|efron SMALL.npz INPUT.npz OUTPUT.npz
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).with_suffix(".R")


def write(path: str, folder: Path) -> None:
    """Write the rows of an input as R reads them: float64, the design column by column."""
    folder.mkdir()
    with np.load(path) as given:
        design = given["design"]
        np.array(design.shape, np.float64).tofile(folder / "shape")
        np.asfortranarray(design).ravel(order="F").tofile(folder / "design")
        for name in ("case", "events"):
            given[name].astype(np.float64).tofile(folder / name)


def main() -> None:
    method, small, given, wanted = sys.argv[1:]
    rscript = shutil.which("Rscript")
    if rscript is None:
        sys.exit("Rscript is not there: apt-get install r-base-core r-cran-survival")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(small, folder / "small")
        write(given, folder / "input")
        done = subprocess.run(  # noqa: S603
            [rscript, "--vanilla", str(SCRIPT), method, name], check=True, text=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        np.savez(Path(wanted), beta=np.fromfile(folder / "beta"))
    print(json.dumps(json.loads(done.stdout.splitlines()[-1])))


if __name__ == "__main__":
    main()
