"""`make audit`: a bill of materials of the environment, and its packages looked up among known vulnerabilities.

A finding fails. That the vulnerability service does not answer, or does not know a package, is said and fails nothing:
a machine without a connection must be able to pass.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_BIN = Path(sys.executable).parent
_SBOM = Path("build/sbom.cdx.json")
#: Seconds the look-up may take.
_PATIENCE = 300


def main() -> int:
    """Write build/sbom.cdx.json, look the packages up, and tell what came of it."""
    _SBOM.parent.mkdir(exist_ok=True)
    write = [_BIN / "cyclonedx-py", "environment", sys.executable, "--pyproject", "pyproject.toml"]
    subprocess.run([*write, "--output-reproducible", "--of", "JSON", "-o", _SBOM], check=True, capture_output=True)
    sbom = json.loads(_SBOM.read_text("utf-8"))
    print(f"{_SBOM}: CycloneDX {sbom['specVersion']}, {len(sbom['components'])} packages")
    look_up = [_BIN / "pip-audit", "--local", "--skip-editable", "--progress-spinner", "off", "--timeout", "15"]
    try:
        asked = subprocess.run([*look_up, "--format", "json"], capture_output=True, text=True, timeout=_PATIENCE)
        packages = json.loads(asked.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        print(f"audit: NOT LOOKED UP: the vulnerability service took more than {_PATIENCE} s")
        return 0
    except (ValueError, KeyError):
        lines = asked.stderr.strip().splitlines() or ["no answer"]
        print(f"audit: NOT LOOKED UP: the vulnerability service cannot be reached ({lines[-1][:200]})")
        return 0
    known = [one for one in packages if "skip_reason" not in one]
    holes = [(one, hole) for one in known for hole in one["vulns"]]
    print(f"audit: {len(known)} packages looked up, {len(packages) - len(known)} not known to the service")
    if not known:
        print("audit: NOT LOOKED UP: the service that answers here knows none of these packages")
    for one, hole in holes:
        mended = ", ".join(hole["fix_versions"]) or "not mended yet"
        print(f"  {one['name']} {one['version']}: {hole['id']}, mended in: {mended}")
    return bool(holes)


if __name__ == "__main__":
    sys.exit(main())
