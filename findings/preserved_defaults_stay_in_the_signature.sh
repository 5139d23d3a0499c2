#!/usr/bin/env bash
# Sphinx's autodoc_preserve_defaults leaves its placeholders in the documented function: inspect.signature of the live
# function gives DefaultValue objects, not the defaults, to whatever runs later in the same build (another extension, a
# directive that lists settings). The call itself still has the true defaults.
# Ends with 0 while this is so; with 1 once it is mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet sphinx==9.0.4

mkdir "$work/pages"
cat > "$work/pages/documented.py" <<'PYTHON'
def function(width: int = 2 * 64) -> int:
    """Return the width."""
    return width
PYTHON
printf '.. autofunction:: documented.function\n' > "$work/pages/index.rst"
cat > "$work/pages/conf.py" <<'PYTHON'
import sys

sys.path.insert(0, ".")
extensions = ["sphinx.ext.autodoc"]
autodoc_preserve_defaults = True
PYTHON

cat > "$work/build.py" <<'PYTHON'
import inspect
import sys

import sphinx
from sphinx.application import Sphinx

import documented


def default():
    return inspect.signature(documented.function).parameters["width"].default


before = default()
Sphinx(".", ".", "_built", "_doctrees", "html", status=None).build()
after = default()
print("sphinx", sphinx.__version__, "python", sys.version.split()[0])
print("default by inspect.signature before the build:", repr(before))
print("and after it:", repr(after), "of type", type(after).__name__)
print("what a call returns:", documented.function())
sys.exit(0 if (before, type(after).__name__, documented.function()) == (128, "DefaultValue", 128) else 1)
PYTHON
cd "$work/pages"
PYTHONPATH=. "$work/venv/bin/python" "$work/build.py"
