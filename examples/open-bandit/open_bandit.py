"""The published figures of the Open Bandit Dataset's sample, by our estimators: `python open_bandit.py`.

The sample comes inside the source distribution of `obp` 0.5.7 (Apache-2.0), which is downloaded from PyPI with pip and
neither installed nor imported. 10,000 recommendations were made at random, and 10,000 by Thompson sampling: from the
former it is estimated what the latter earns, and the latter's clicks tell by how much the estimate is wrong. The
figures are the mean and standard deviation of that relative error over 30 bootstraps (README of zr-obp, examples/obd;
policy drawn with seed 12345, bootstraps with 0 to 29).
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from gatewright.scenarios.evaluation import Logged, Support, estimate

SDIST = "obp-0.5.7.tar.gz"
SHA256 = "3060d67fedfcfadf1e7a6f2608987f74412b5eb74d2c567edeb147595c68f2a0"
SEED, DRAWS, AT_ONCE = 12345, 1_000_000, 10_000  # of the policy
BOOTSTRAPS = 30
PUBLISHED = {"ips": (0.311082, 0.311170), "snips": (0.311795, 0.334736)}

Floats = NDArray[np.float64]


class Shown(NamedTuple):
    """Recommendations by time: item, place on the page, whether it was clicked, and how likely it was shown there."""

    items: NDArray[np.int64]
    places: NDArray[np.int64]
    clicks: Floats
    propensities: Floats


def fetch(folder: Path) -> Path:
    """The source distribution, downloaded into the folder unless it is there.

    Raises:
        RuntimeError: pip cannot download it, or it is another file.
    """
    path = folder / SDIST
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        pip = shutil.which("pip") or shutil.which("pip3")
        command = [pip] if pip else [sys.executable, "-m", "pip"]
        wanted = folder / "requirements.txt"  # only there does pip take a hash, which it checks before it unpacks
        wanted.write_text(f"obp==0.5.7 --hash=sha256:{SHA256}\n")
        what = ["download", "--require-hashes", "--requirement", str(wanted), "--no-deps", "--no-binary=:all:"]
        what += ["--ignore-requires-python", "--dest", str(folder)]
        done = subprocess.run([*command, *what], capture_output=True, text=True, check=False)
        wanted.unlink()
        if not path.is_file():
            raise RuntimeError(f"pip cannot download {SDIST}: {done.stderr.strip().splitlines()[-2:]}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise RuntimeError(f"{path} has the SHA-256 {found}, not {SHA256}; remove it and try again")
    return path


def read(sdist: Path) -> tuple[Shown, Shown, Floats]:
    """What was shown at random and by Thompson sampling, and the latter's chances to show each item at each place."""
    with tarfile.open(sdist) as archive:
        prior = yaml.safe_load(_member(archive, "policy/conf/prior_bts.yaml"))["all"]
        chances = thompson(np.array(prior["alpha"]), np.array(prior["beta"]))
        return _shown(archive, "random"), _shown(archive, "bts"), chances


def thompson(alpha: Floats, beta: Floats) -> Floats:
    """How likely each item is among the best three of a draw, by place; float64, shape `(n_items, 3)`."""
    random = np.random.RandomState(SEED)  # the published figures were drawn with it
    counts = np.zeros((len(alpha), 3))
    for _ in range(DRAWS // AT_ONCE):
        best = random.beta(alpha, beta, size=(AT_ONCE, len(alpha))).argsort(axis=1)[:, :-4:-1]
        for place in range(3):
            counts[:, place] += np.bincount(best[:, place], minlength=len(alpha))
    return counts / DRAWS


def errors(logged: Logged, truth: float) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each estimator's relative error over the bootstraps."""
    found: dict[str, list[float]] = {"ips": [], "snips": []}
    for seed in range(BOOTSTRAPS):
        rows = np.random.RandomState(seed).choice(len(logged), size=len(logged), replace=True)
        drawn = Logged(
            rewards=logged.rewards[rows],
            actions=logged.actions[rows],
            propensities=logged.propensities[rows],
            target=logged.target[rows],
            opened=logged.opened[rows],
        )
        found["ips"].append(abs(estimate(drawn, "ips").value / truth - 1))
        found["snips"].append(abs(estimate(drawn, "snips").value / truth - 1))
    return {name: (float(np.mean(values)), float(np.std(values, ddof=1))) for name, values in found.items()}


def logged(shown: Shown, chances: Floats) -> Logged:
    """The log with Thompson sampling as the policy that is evaluated."""
    target = chances[:, shown.places].T
    return Logged(
        rewards=shown.clicks,
        actions=shown.items,
        propensities=shown.propensities,
        target=target,
        opened=np.ones(target.shape, np.bool_),
    )


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(f"obp-0.5.7/obp/{name}")
    if found is None:
        raise RuntimeError(f"{SDIST} holds no {name!r}")
    return found.read()


def _shown(archive: tarfile.TarFile, policy: str) -> Shown:
    text = _member(archive, f"dataset/obd/{policy}/all/all.csv").decode()
    rows = sorted(csv.DictReader(io.StringIO(text)), key=lambda row: row["timestamp"])
    return Shown(
        items=np.array([int(row["item_id"]) for row in rows], np.int64),
        places=np.array([int(row["position"]) - 1 for row in rows], np.int64),
        clicks=np.array([float(row["click"]) for row in rows]),
        propensities=np.array([float(row["propensity_score"]) for row in rows]),
    )


def main(folder: Path) -> int:
    """Print the figures; gives 0 if they are those published, 1 if not."""
    random, ran, chances = read(fetch(folder))
    log = logged(random, chances)
    found = errors(log, float(ran.clicks.mean()))
    for name, (mean, spread) in found.items():
        print(f"{name:5} {mean:.6f} ± {spread:.6f}   published {PUBLISHED[name][0]:.6f} ± {PUBLISHED[name][1]:.6f}")
    snips = estimate(log, "snips")
    print(f"clicks {ran.clicks.mean():.4f}; snips {snips.value:.4f}, 95 % interval {snips.interval}")
    print("; ".join(map(str, Support.of(log).reasons)) or "the support suffices")
    return 0 if {name: (round(mean, 6), round(spread, 6)) for name, (mean, spread) in found.items()} == PUBLISHED else 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary)))
