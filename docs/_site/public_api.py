"""The public names have their entries under the package that offers them, wherever they are defined."""

import importlib
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.typing import ExtensionMetadata

PACKAGES = sorted(page.stem for page in (Path(__file__).parents[1] / "api").glob("vidssl*.md"))


def public_names() -> dict[str, str]:
    """Return where each name is defined -> the name under which its package offers it."""
    found = {}
    for package in map(importlib.import_module, PACKAGES):
        for name in getattr(package, "__all__", ()):
            defined = vars(package).get("_offered", {}).get(name, package.__name__)
            found[f"{defined}.{name}"] = f"{package.__name__}.{name}"
    return found


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Node | None:
    """Lead a reference to the place of definition, as annotations make it, to the public entry."""
    if node.get("refdomain") != "py":
        return None
    wanted = node["reftarget"]
    names = public_names()
    # docstrings say the bare name, annotations the module that defines it
    target = names.get(wanted) or next((name for name in names.values() if name.rpartition(".")[2] == wanted), None)
    if target is None:
        return None
    python = env.get_domain("py")
    return python.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)


def write_factories(
    app: Sphinx, kind: str, name: str, value: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write ``...`` for a default that a dataclass makes anew each time; Python's ``<factory>`` cannot be parsed."""
    return signature and signature.replace("<factory>", "..."), returned


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect with Sphinx."""
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-signature", write_factories)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
