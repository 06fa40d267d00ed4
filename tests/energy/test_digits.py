"""The images are those of the source, and they are installed with the package."""

import configparser
from pathlib import Path

import numpy as np

import refscore
from refscore.energy import binary_digits

ROOT = Path(refscore.__file__).parent


def test_images_and_labels():
    """Class counts as the source documents its test set; one image by eye; digits differ more between classes than within."""
    images, labels = binary_digits()
    assert images.shape == (1797, 64) and images.dtype == np.float64 and set(np.unique(images)) == {0.0, 1.0}
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    zero = ["...##...", "..####..", "..#..##.", "..#..##.", "..#..##.", "..#..#..", "..#.##..", "...##..."]
    assert labels[0] == 0 and ["".join(".#"[int(p)] for p in row) for row in images[0].reshape(8, 8)] == zero
    means = np.array([images[labels == k].mean(axis=0) for k in range(10)])
    nearest = ((images[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.85


def test_every_call_returns_new_arrays():
    images, _ = binary_digits()
    images[:] = 7
    assert binary_digits()[0].max() == 1


def test_pip_installs_every_data_file():
    """Every file of the package that is not Python matches a pattern of package_data."""
    source = ROOT.parent / "setup.cfg"
    if not source.exists():  # the package is installed: then its data must lie beside it
        assert (ROOT / "energy" / "binary_digits.npy").exists()
        return
    config = configparser.ConfigParser()
    config.read(source)
    patterns = {package: lines.split() for package, lines in config["options.package_data"].items()}
    for path in ROOT.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            package = ".".join(path.parent.relative_to(ROOT.parent).parts)
            assert any(path.match(pattern) for pattern in patterns.get(package, [])), f"{path} is not in package_data"
