"""compare.html: a comparison in one file."""

from __future__ import annotations

from irl_ros.evaluation.comparison import Comparison
from irl_ros.evaluation.comparison_text import markdown
from irl_ros.evaluation.page import escape, page


def comparison_page(c: Comparison) -> str:
    """The whole page."""
    return page("Comparison", [f"<pre>{escape(markdown(c))}</pre>"])
