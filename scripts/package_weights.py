"""Packs the network of a finished run as the one that MetaClassifier or MetaRegressor carries.

metarun +experiment=prior_classifier && python scripts/package_weights.py classifier prior_classifier
metarun +experiment=prior_regressor && python scripts/package_weights.py regressor prior_regressor
"""

from __future__ import annotations

import argparse
from pathlib import Path

from metarun.in_context.runs import network_of
from metarun.in_context.weights import pack

PLACE = Path(__file__).parent.parent / "src" / "metarun" / "weights"


def main() -> None:
    """Write the file and print its size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("classifier", "regressor"))
    parser.add_argument("run", help="its folder, latest, an experiment, or the start of its id")
    parser.add_argument("--outputs", default="outputs", help="where runs are")
    parser.add_argument("--to", type=Path, default=PLACE, help="the folder of packaged weights")
    options = parser.parse_args()
    path = options.to / f"{options.kind}.npz"
    pack(path, *network_of(options.run, options.outputs, options.kind))
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
