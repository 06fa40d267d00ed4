"""Reading data as people have them: every file gives points, or one line that says what to do."""

from pathlib import Path

import numpy as np
import pytest

from refscore._dataset import DataError, load, normalised

IRIS = Path(__file__).parent / "data" / "iris.csv"


def read(tmp_path, text, name="d.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    data = load(path)
    with np.errstate(over="ignore"):
        return data.centre + data.scale * data.points, data


def test_iris_is_fishers():
    """The two flowers in which the copy at UCI differs from the paper, and the column sums (see data/README.md)."""
    data = load(IRIS)
    values = data.centre + data.scale * data.points
    assert values.shape == (150, 4)
    # a few roundings of numbers below 10, and 150 of them in a sum
    np.testing.assert_allclose(values[[34, 37]], [[4.9, 3.1, 1.5, 0.2], [4.9, 3.6, 1.4, 0.1]], rtol=0, atol=1e-14)
    np.testing.assert_allclose(values.sum(axis=0), [876.5, 458.6, 563.7, 179.9], rtol=0, atol=1e-11)
    assert data.columns == ("sepal_length", "sepal_width", "petal_length", "petal_width")
    assert "left out: text column 'species'" in data.notes


WANTED = np.array([[1.0, 2.5], [2.0, 3.5], [4.0, -1.5]])


@pytest.mark.parametrize(
    "text",
    [
        "1,2.5\n2,3.5\n4,-1.5\n",
        "1;2.5\n2;3.5\n4;-1.5\n",
        "1;2,5\n2;3,5\n4;-1,5\n",
        "1\t2.5\n2\t3.5\n4\t-1.5",
        "1 2.5\n2   3.5\n4 -1.5\n",
        "\n1,2.5\r\n\r\n2,3.5\r\n4,-1.5\r\n",
        "a,b\n1,2.5\n2,3.5\n4,-1.5\n",
        '"a","b ""c"", d"\n"1","2.5"\n"2","3.5"\n"4","-1.5"\n',
        "# made by hand\n1,2.5\n2,3.5\n4,-1.5\n",
        "a, b\n1, 2.5\n2, 3.5\n4, -1.5\n",
        ",a,b\n0,1,2.5\n1,2,3.5\n2,4,-1.5\n",
        "a,b,kind\n1,2.5,x\n2,3.5,y\n4,-1.5,\n",
        "a,b\n1,2.5\nNA,7\n2,3.5\n9,\n4,-1.5\n9,inf\nnan,1\n?,1\n",
        "a,b,c\n1,2.5,\n2,3.5,\n4,-1.5,\n",
        "x;y\n1e0;25e-1\n+2;3.5\n4;-.15e1\n",
    ],
)
def test_one_table_many_ways_to_write_it(tmp_path, text):
    np.testing.assert_allclose(read(tmp_path, text)[0], WANTED, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    values, data = read(tmp_path, "größe,b\n1,2.5\n2,3.5\n4,-1.5\n", encoding=encoding)
    np.testing.assert_allclose(values, WANTED, rtol=1e-15)
    assert data.columns == ("größe", "b")


def test_notes_say_what_is_left_out(tmp_path):
    text = ",x,empty,kind,y\n0,1,,a,2\n1,2,NA,b,\n2,3,,c,5\n3,oops,,d,6\n"
    values, data = read(tmp_path, text)
    np.testing.assert_allclose(values, [[1, 2], [3, 5]], rtol=1e-15)
    notes = "\n".join(data.notes)
    assert "2 rows, 2 columns of numbers" in notes and "text column 'kind'" in notes
    assert "without a finite value 'empty'" in notes and "which only counts the rows" in notes
    assert "'x': 1 of its cells not numbers (first: 'oops' in line 5)" in notes
    assert "2 rows with missing or non-finite values" in notes and "'x' lacks 1 of 4" in notes


def test_columns_of_the_same_name_are_kept_apart(tmp_path):
    values, data = read(tmp_path, "x,x,x\n1,a,2.5\n2,b,3.5\n4,c,-1.5\n")
    np.testing.assert_allclose(values, WANTED, rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (b"", "is empty: it needs at least one row of numbers"),
        ("\n\n", "no rows"),
        ("a,b\n", "only a header ('a', 'b'): add rows"),
        ("a,b\nc,d\n", "no column of numbers (text in"),
        ("nan,inf\n-inf,nan\n", "no finite value in"),
        ("a,b\n1,\n,2\n", "every row has a missing or non-finite value"),
        ("1,2\n3,4\n5\n", "line 3 has 1 cells, line 1 has 2"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 cells, line 1 has 2"),
        ('1,"2\n3,4\n', "check the quotes"),
        ("x;y\n1,5;1\n1.5;2\n", "mixes decimal commas and decimal points"),
        (bytes(range(256)) * 4, "not text"),
        (b"PK\x03\x04junk", "save the table as CSV"),
        (b"\x1f\x8bjunk", "gunzip"),
    ],
)
def test_what_cannot_be_used_is_refused_with_advice(tmp_path, text, advice):
    with pytest.raises(DataError) as refusal:
        read(tmp_path, text)
    message = str(refusal.value)
    assert advice in message and "\n" not in message and "d.csv" in message


def test_missing_files_and_directories(tmp_path):
    with pytest.raises(DataError, match="does not exist: check the name"):
        load(tmp_path / "no.csv")
    with pytest.raises(DataError, match="is a directory: name a CSV"):
        load(tmp_path)


@pytest.mark.parametrize("junk", [bytes(range(1, 256)) * 20, b"\xff" * 100, b"%PDF-1.4 \x80\x81\n" * 9])
def test_binary_junk_is_refused_never_read(tmp_path, junk):
    with pytest.raises(DataError):
        read(tmp_path, junk)


ARRAYS = [np.arange(4), np.arange(8.0).reshape(4, 2), np.eye(3, dtype=bool), np.float32([[1], [2]])]


@pytest.mark.parametrize("array", ARRAYS)
def test_arrays(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    data = load(tmp_path / "a.npy")
    wanted = np.atleast_2d(array.astype(float).T).T
    np.testing.assert_allclose(data.centre + data.scale * data.points, wanted, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(
    ("array", "advice"),
    [
        (np.array([{}], dtype=object), "not loaded for safety"),
        (np.zeros((2, 2, 2)), "reshape"),
        (np.float64(3), "shape ()"),
        (np.zeros((0, 3)), "at least one row"),
        (np.zeros((3, 0)), "at least one row and one column"),
        (np.ones(3, complex), "real numbers"),
        (np.array(["a"]), "real numbers"),
        (np.array([[np.nan, 1.0], [2.0, np.inf]]), "every row"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path, array, advice):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=advice.replace("(", r"\(").replace(")", r"\)")):
        load(tmp_path / "a.npy")


def test_damaged_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(9.0))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-8])
    (tmp_path / "text.npy").write_text("1,2\n")
    for name, advice in (("cut.npy", "damaged"), ("text.npy", "not a .npy file")):
        with pytest.raises(DataError, match=advice):
            load(tmp_path / name)


@pytest.mark.parametrize("size", [1.0, 1e200, 1e-200, 1.7e308, 1e-300])
def test_the_scale_does_not_matter(size):
    """Centred, of root-mean-square norm one: 3 roundings an entry and 40 in each mean."""
    shape = np.random.default_rng(0).uniform(-1, 1, (40, 3)) + [0.3, 0, 0]
    shape /= np.abs(shape).max()
    points = normalised(size * shape, ("a", "b", "c")).points
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-14)
    assert (points**2).sum(axis=1).mean() == pytest.approx(1, abs=1e-13)
    np.testing.assert_allclose(points, normalised(shape, ("a", "b", "c")).points, rtol=0, atol=1e-13)


def test_constant_data_are_not_divided_by_zero():
    for value in (0.0, 7.3, 1e200, 1e9 / 3):
        data = normalised(np.full((7, 2), value), ("a", "b"))
        assert not data.points.any() and data.scale == 1 and "all rows are equal" in data.notes[-1]


def test_columns_that_vanish_beside_others_are_named():
    data = normalised(np.array([[1.0, 1e12], [2.0, -1e12]]), ("small", "large"))
    assert any("'small' vary by less than 1e-8" in note for note in data.notes)


def test_many_chunks_give_what_one_gives(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    table = rng.standard_normal((500, 3))
    text = "a,b,c\n" + "\n".join(",".join(map(repr, row.tolist())) for row in table)
    once = read(tmp_path, text)[1]
    monkeypatch.setattr("refscore._csv._CHUNK_CELLS", 30)
    np.testing.assert_array_equal(read(tmp_path, text)[1].points, once.points)
