"""The viewer that all pages share: an image under its segments, with hover, filters and a table.

`viewer.js` is an ES module that exports the class `Viewer`; `viewer.css` is its style. They need
nothing else, ask no network, and run under a policy that forbids code and styles inside the markup.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where both files lie."""
