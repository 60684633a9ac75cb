"""Shows pages of foretoll and of its docs in light, dark, on a phone and in print, on one picture.

    make contact-sheet        # or: python release/contact_sheet.py

Writes docs/img/contact_sheet.webp, and each picture in full to build/pictures, to be looked at.
"""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageOps

from browser import VIEWS, Browser
from pages import ROOT, every_page, make

SHOWN = ("update", "comparison", "life", "ledger", "docs/tutorial_first")
SHEET = ROOT / "docs" / "img" / "contact_sheet.webp"
PICTURES = ROOT / "build" / "pictures"
WIDTH, HEIGHT, GAP, HEAD = 380, 520, 14, 22
TALLEST = 12_000


def main() -> None:
    """Take the pictures and join them: a row for each view, a column for each page."""
    make()
    PICTURES.mkdir(parents=True, exist_ok=True)
    pages = every_page()
    size = (GAP + len(SHOWN) * (WIDTH + GAP), GAP + len(VIEWS) * (HEIGHT + HEAD + GAP))
    sheet = Image.new("RGB", size, "#c9ced1")
    pen = ImageDraw.Draw(sheet)
    with Browser() as browser:
        for row, view in enumerate(VIEWS):
            for column, name in enumerate(SHOWN):
                browser.show(pages[name], view)
                taken = Image.open(io.BytesIO(browser.picture(TALLEST))).convert("RGB")
                if view.medium == "print":  # the margin of the paper
                    taken = ImageOps.expand(taken, 40, "white")
                taken.save(PICTURES / f"{name.replace('/', '-')}-{view.name}.png")
                scale = WIDTH / taken.width
                part = taken.crop((0, 0, taken.width, min(taken.height, round(HEIGHT / scale))))
                small = part.resize((WIDTH, round(part.height * scale)), Image.Resampling.LANCZOS)
                x, y = GAP + column * (WIDTH + GAP), GAP + row * (HEIGHT + HEAD + GAP)
                pen.text((x, y + 4), f"{name}, {view.name}", fill="#1b1d1f", font_size=13)
                sheet.paste(small, (x, y + HEAD))
    sheet.save(SHEET, quality=62, method=6)
    print(f"{SHEET.relative_to(ROOT)}: {SHEET.stat().st_size / 1000:.0f} kB, {sheet.width} × {sheet.height}")


if __name__ == "__main__":
    main()
