"""Films that stand in more than one folder of real films: `near_copies.py [DATA_FOLDER]`, by default ../shared/data.

What is trained on one folder must not be tested on copies of its films in another: training leaves them out
(`index_builder.training.copies`). Prints the number of copies for each pair of folders, then each pair of files, the
surest first. Some 12,000 films take four minutes of one core.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from index_builder.datasets.reading.film_tree import film_tree
from index_builder.imaging import read_film
from index_builder.training.copies import near_copies, reduced

DATA = Path(__file__).resolve().parents[2] / "../shared/data"


def main(data: Path) -> None:
    if not data.is_dir():
        sys.exit(f"{data}: no such folder. Give a folder that holds folders of films.")
    names = [name for name in film_tree(data).films if "/masks/" not in name]
    folders = [name.split("/")[0] for name in names]
    copies = near_copies([reduced(read_film(data / name).pixels) for name in names], folders)
    print(f"{len(names):,} films in {len(set(folders))} folders")
    for (one, other), count in Counter((folders[pair.one], folders[pair.other]) for pair in copies).most_common():
        print(f"{count:5d}  {one} = {other}")
    for pair in copies:
        print(f"{pair.likeness:.3f}  {names[pair.one]}  {names[pair.other]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
