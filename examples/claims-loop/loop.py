"""Rules at work, policies learnt, one of them shown to be better, and put in place: `python loop.py`.

1  work    the team's rules triage claims in the real service, and a declared share of choices is left to chance
2  tune    Q-learning and MaskablePPO learn triage in the simulator, beside a majority and a logistic model of the log
3  judge   what the log itself says about the proposed policy
4  gate    rules and policy on held-out claims, in the simulator and with the real team
5  deploy  the policy is written, and the configuration names it; the team works with it
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # the processes of the gate import this module, too
    from course import FULL, QUICK, go_round

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="where all is kept; without, a temporary one")
    parser.add_argument("--seed", type=int, default=0, help="the same one gives the same policies")
    parser.add_argument("--quick", action="store_true", help="a small round, to see whether all works")
    parser.add_argument("--twice", action="store_true", help="tune twice and compare the weights")
    parser.add_argument("--jobs", type=int, default=2, help="processes of the gate with the real team")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="claims-loop-"))
    folder.mkdir(parents=True, exist_ok=True)
    size = QUICK if given.quick else FULL
    sys.exit(go_round(folder.resolve(), given.seed, size, twice=given.twice, jobs=given.jobs))
