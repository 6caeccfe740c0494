#!/usr/bin/env python3
"""Makes docs/report.png of a report's page with a headless Chromium: the picture that the README shows.

    python tools/picture.py [REPORT.html] [PICTURE.png]

The window has a fixed size, so that the same page gives the same picture."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
# As wide as the page sets its text, and down to the end of the evidence beside the verdict.
SIZE = "1100,1640"


def main():
    given = [pathlib.Path(path) for path in sys.argv[1:]]
    page, picture = [*given, *[ROOT / "out/demo/report.html", ROOT / "docs/report.png"][len(given) :]][:2]
    if not page.is_file():
        sys.exit(f"{page} is not there: `make demo` makes it")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"no browser that draws without a screen: one of {', '.join(BROWSERS)} must be in PATH")
    with tempfile.TemporaryDirectory() as folder:
        drawn = pathlib.Path(folder) / "page.png"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"]
        command = [browser, *flags, f"--user-data-dir={folder}/profile", f"--window-size={SIZE}", f"--screenshot={drawn}"]
        run = subprocess.run([*command, page.resolve().as_uri()], capture_output=True, text=True)
        if run.returncode != 0 or not drawn.is_file():
            sys.exit(f"{browser} drew nothing:\n{run.stderr}")
        picture.write_bytes(drawn.read_bytes())
    print(f"{picture}: {picture.stat().st_size} bytes")


if __name__ == "__main__":
    main()
