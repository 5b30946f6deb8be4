"""How `make docs` builds the pages: the guide as it is shipped, the reference from docstrings.

Nothing is fetched, and every warning is an error: a docstring that cannot be read as numpydoc, a
link that leads nowhere and a page that no table of contents has all fail the build.
"""

from importlib.util import find_spec

import eplb_opt

project = "eplb-opt"
author = "the eplb-opt authors"
version = release = eplb_opt.__version__

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_parser"]

# The first line of a class says what it is; its members follow once, with their own docstrings.
numpydoc_show_class_members = False
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# The pages need no extra but `docs`: names of a package that is not there are as good as any.
autodoc_mock_imports = [name for name in ("torch", "triton") if find_spec(name) is None]

myst_heading_anchors = 3

html_theme = "alabaster"
html_theme_options = {
    "description": "Expert-parallel load balancing, solved exactly",
    "fixed_sidebar": True,
    "page_width": "1080px",
}
html_show_sourcelink = False
html_copy_source = False
