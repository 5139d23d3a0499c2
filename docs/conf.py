"""How Sphinx builds the site: `make docs` writes build/docs. The pages are Markdown and read as well on GitHub."""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "docs" / "_site"))

import vidssl  # noqa: E402

project = "vidssl"
author = "the vidssl authors"
project_copyright = author
version = release = vidssl.__version__

extensions = [
    "myst_nb",  # Markdown pages, and notebooks as they were saved
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    # in docs/_site
    "formulas",
    "public_api",
    "gallery",
]
exclude_patterns = ["_site"]
nitpicky = True
nitpick_ignore_regex = [
    # other projects' types have pages of their own: no inventory is fetched, so that the site builds without a network
    ("py:.*", r"(torch|numpy|np|pytorch_lightning|collections|pathlib|os|PIL|matplotlib)\..*|Path"),
]
nitpick_ignore = [
    # types that public signatures name and nobody needs to import
    *(
        ("py:class", name)
        for name in (
            "DeviceStep",
            "KeptFrames",
            "Measure",
            "vidssl.catalogs.file_state.FileState",
            "vidssl.data.dataset.ClipDataset",
            "vidssl.data.dataset.ClipSample",
            "vidssl.data.plan.FramePlan",
            "vidssl.data.training_history.TrainedSplit",
            "vidssl.evaluation.classifiers.linear_model.LinearModel",
            "vidssl.evaluation.classifiers.linear_problem.Objective",
            "vidssl.evaluation.classifiers.linear_problem.Rows",
            "vidssl.evaluation.classifiers.sgd_heads.SGD",
            "vidssl.evaluation.features.files.FeatureFile",
            "vidssl.video.remote.UrlFolder",
        )
    ),
]

myst_enable_extensions = ["dollarmath", "deflist", "attrs_inline", "colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # would come from another host

html_theme = "furo"
html_title = "vidssl"
html_math_renderer = "outlines"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {"no-value": True}  # of a registry: an address in memory
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
