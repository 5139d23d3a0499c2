"""Says where .ci/lowest.txt is not the lowest of what setup.cfg allows; the tools of the dev extra are left out."""

import configparser
import re
import sys
from pathlib import Path

TOOLS = {"ruff", "mypy", "pre-commit", "build", "twine", "check-jsonschema", "moto", "flask", "flask-cors"}


def versions(lines, sign):
    """Return name -> version of requirements such as torch>=2.9."""
    found = (re.match(rf"([\w-]+)(?:\[.*\])?{sign}([\d.]+)", line.strip()) for line in lines)
    return {match[1]: match[2] for match in found if match}


root = Path(__file__).resolve().parents[1]
setup = configparser.ConfigParser()
setup.read(root / "setup.cfg")
required = setup["options"]["install_requires"] + setup["options.extras_require"]["dev"]
allowed = {name: v for name, v in versions(required.splitlines(), ">=").items() if name not in TOOLS}
lowest = versions((root / ".ci" / "lowest.txt").read_text().splitlines(), "==")
wrong = [
    f"{name}: setup.cfg >={allowed.get(name)}, .ci/lowest.txt =={lowest.get(name)}"
    for name in sorted(allowed.keys() | lowest.keys())
    if name not in allowed or not f"{lowest.get(name)}.".startswith(f"{allowed[name]}.")
]
sys.exit("\n".join(wrong) or 0)
