"""10,000 mutated inputs: `python tests/fuzz/run_fuzz.py CASEBOOK PROFILE_CASEBOOK [--count 10000] [--kind dicom]`.

Each kind runs in a process of its own. Hangs and memory are the kernel's to catch: an input that takes five seconds of
processor time, or a minute, ends the process by a signal, address space is limited, and the highest memory ever held
is read after each input. A process that dies is started again behind the input it died of.
`--kind KIND --only NUMBER` gives one input again.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]

#: Seconds of processor time, and of the clock, which other programs stretch.
CPU_SECONDS, WALL_SECONDS = 5.0, 120.0
MEMORY_MIB = 1024
#: What may be asked for at all beyond what was there before the first input.
_ADDRESS_SPACE = 3 * 2**30
_TOO_MUCH_MEMORY = 3


@dataclass(slots=True)
class KindReport:
    """What came of the inputs of a kind.

    Attributes:
        outcomes: "taken" and "refused" inputs, and each kind of fault.
        faults: What went wrong, by number of input.
        cpu_seconds: Of all inputs.
        slowest: Seconds of the slowest, and its number.
        peak_mib: Highest memory of any process, libraries and systems included.
    """

    kind: str
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    slowest: tuple[float, int] = (0.0, 0)
    peak_mib: float = 0.0

    def line(self) -> str:
        """One row of the table."""
        return (
            f"{self.kind:<9}{sum(self.outcomes.values()):>8,}{self.outcomes['taken']:>8,}{self.outcomes['refused']:>9,}"
            f"{len(self.faults):>8}{1e3 * self.cpu_seconds / max(1, sum(self.outcomes.values())):>10.1f}"
            f"{self.slowest[0]:>9.2f}{self.peak_mib:>9.0f}"
        )


HEADER = f"{'kind':<9}{'inputs':>8}{'taken':>8}{'refused':>9}{'faults':>8}{'mean ms':>10}{'max s':>9}{'max MiB':>9}"


def fuzz(kind: str, count: int, casebook: Path, profiles: Path) -> KindReport:
    """Give `count` inputs of a kind to the code, in processes that cannot take this one with them."""
    report = KindReport(kind)
    command = [sys.executable, str(_HERE / "run_fuzz.py"), str(casebook), str(profiles), "--worker", kind]
    paths = os.pathsep.join(map(str, (_ROOT, _HERE, _ROOT / "tests" / "samples")))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}
    start = 0
    while start < count:
        run = subprocess.run(
            [*command, str(start), str(count)], capture_output=True, text=True, env=environment, check=False
        )
        began = _read(run.stdout, report)
        if run.returncode == 0:
            break
        if began is None:
            raise RuntimeError(f"no input of kind {kind} was tried:\n{run.stderr[-3000:]}")
        report.faults[began] = _fate(run.returncode, run.stderr)
        report.outcomes["died"] += began not in report.faults or run.returncode != _TOO_MUCH_MEMORY
        start = began + 1
    return report


def _read(output: str, report: KindReport) -> int | None:
    """Take in a worker's lines; the number of the input it began last."""
    began = None
    for line in output.splitlines():
        word, _, rest = line.partition(" ")
        if word == "begin":
            began = int(rest)
        elif word == "peak":
            report.peak_mib = max(report.peak_mib, float(rest))
        elif word == "end" and began is not None:
            seconds, result, *fault = rest.split(" ", 2)
            report.outcomes[result] += 1
            report.cpu_seconds += float(seconds)
            report.slowest = max(report.slowest, (float(seconds), began))
            if result == "fault":
                report.faults[began] = fault[0]
    return began


def _fate(code: int, errors: str) -> str:
    if code == -signal.SIGPROF:
        return f"more than {CPU_SECONDS:g} s of processor time"
    if code == -signal.SIGALRM:
        return f"more than {WALL_SECONDS:g} s"
    if code == _TOO_MUCH_MEMORY:
        return f"more than {MEMORY_MIB:,} MiB"
    return f"died with {code}: {errors[-300:]}"


def work(kind: str, start: int, stop: int, casebook: str, profiles: str) -> None:
    """The worker: inputs `start` to `stop`, a line before and after each."""
    from fuzz_targets import outcome, scratch_folder, target

    folder = scratch_folder()
    try:
        aim = target(kind, folder, casebook, profiles)
        room = _status_kib("VmSize") * 1024 + _ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        for number in range(start, stop):
            given = aim.input(kind, number)
            print("begin", number, flush=True)
            Path("/proc/self/clear_refs").write_text("5", "ascii")  # what it took to make the input does not count
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
            began = process_time()
            try:
                result = outcome(aim.check, given)
            except Exception as error:
                traceback.print_exc()
                where = traceback.extract_tb(error.__traceback__)[-1]
                result = f"fault {type(error).__name__} {Path(where.filename).name}:{where.lineno} {str(error)[:120]!r}"
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            peak = _status_kib("VmHWM") / 1024
            print(f"end {process_time() - began:.4f} {result}\npeak {peak:.0f}", flush=True)
            if peak > MEMORY_MIB:
                os._exit(_TOO_MUCH_MEMORY)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _status_kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def main() -> int:
    """Print the table; 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("casebook", type=Path)
    parser.add_argument("profiles", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--kind")
    parser.add_argument("--only", type=int)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        kind, start, stop = given.worker
        work(kind, int(start), int(stop), str(given.casebook), str(given.profiles))
        return 0
    if given.only is not None:
        sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "samples")]
        work(given.kind, given.only, given.only + 1, str(given.casebook), str(given.profiles))
        return 0
    from fuzz_targets import SHARES

    print(HEADER)
    reports = []
    for kind, share in SHARES.items():
        if given.kind in (None, kind):
            reports.append(fuzz(kind, max(1, given.count * share // 10_000), given.casebook, given.profiles))
            print(reports[-1].line(), flush=True)
    for report in reports:
        for number, fault in sorted(report.faults.items()):
            print(f"{report.kind} {number}: {fault}")
    return int(any(report.faults for report in reports))


if __name__ == "__main__":
    sys.exit(main())
