"""How long `import eais; eais.InferenceSession` takes in a fresh interpreter, and what it brings.

Seconds, from after the interpreter's own start to the class in hand; the median over fresh
processes, each after one that warmed the file cache. `--json` prints one object on one line.
`--python` measures another environment, such as one without onnxruntime.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

PROBE = """
import sys, time
began = time.perf_counter()
import eais
eais.InferenceSession
took = time.perf_counter() - began
print(took, int("onnxruntime" in sys.modules), len(sys.modules))
"""


def measure(python: str) -> tuple[float, bool, int]:
    """Return seconds, whether onnxruntime came along, and how many modules are loaded."""
    done = subprocess.run([python, "-c", PROBE], check=True, capture_output=True, text=True)
    took, onnxruntime, modules = done.stdout.split()
    return float(took), onnxruntime == "1", int(modules)


def report(python: str, runs: int) -> dict[str, object]:
    """Measure `runs` times, after one that does not count."""
    measure(python)
    results = [measure(python) for _ in range(runs)]
    times = [took for took, _, _ in results]
    return {
        "benchmark": "import_time",
        "import_s": round(statistics.median(times), 4),
        "import_s_worst": round(max(times), 4),
        "limit_s": 0.3,
        "onnxruntime_imported": any(onnxruntime for _, onnxruntime, _ in results),
        "modules": results[-1][2],
        "runs": runs,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--runs", type=int, default=9, metavar="N")
    parser.add_argument("--python", default=sys.executable, metavar="PATH")
    args = parser.parse_args()
    found = report(args.python, args.runs)
    if args.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:22} {value}")


if __name__ == "__main__":
    main()
