"""Cutting folders of pictures for a network to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splitters import NothingToSplit, PassedOver
from tests.kit.tables import cut, items, pictures


def test_a_picture_is_of_the_class_of_its_folder(tmp_path: Path) -> None:
    done = cut(pictures(tmp_path / "all"), shards=2)
    assert (done.card["classes"], done.card["task"]) == (["bright", "dark"], "classification")
    assert (done.card["input_shape"], done.card["dtype"]) == ([3, 3, 4], "uint8")
    assert done.card["picture"] == {"width": 4, "height": 3, "grey": False}
    assert done.card["rows"] == {"train": 14, "valid": 2, "test": 4}
    for X, y in (("X", "y"), ("valid_X", "valid_y"), ("test_X", "test_y")):
        red = done.all(X)[:, 0, 0, 0]
        assert red.tolist() == np.where(done.all(y) == 0, 200, 20).tolist()
    assert set(done.all("X")[:, 1, 0, 0]) <= set(range(10))
    assert not done.problems


def test_pictures_are_brought_to_one_size_and_to_grey(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "all")
    Image.new("RGBA", (40, 30), (0, 0, 255, 128)).save(folder / "dark" / "large.png")
    done = cut(folder, size="2x5", grey=True)
    assert done.card["input_shape"] == [1, 5, 2]
    assert done.card["picture"] == {"width": 2, "height": 5, "grey": True}
    assert {*done.all("X").ravel()} & set(range(59, 62))  # of 200 red


def test_pictures_of_several_sizes_need_one_to_be_named(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "all")
    Image.new("RGB", (40, 30)).save(folder / "dark" / "large.png")
    with pytest.raises(ValueError, match=r"dark/large.png has 40x30 pixels, and others have 4x3: .* --size 32x32"):
        cut(folder)


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "all")
    lying = Image.new("RGB", (3, 4))
    exif = lying.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    lying.save(folder / "dark" / "lying.jpg", exif=exif)
    assert sum(cut(folder).card["rows"].values()) == 21


def test_a_broken_picture_is_named_and_the_others_are_learned(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "all")
    Image.effect_noise((64, 64), 50).save(folder / "dark" / "cut.jpg")
    whole = (folder / "dark" / "cut.jpg").read_bytes()
    (folder / "dark" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "dark" / "text.png").write_text("no picture")
    (folder / "empty.jpg").touch()
    done = cut(folder, shards=3)
    assert sorted(done.problems) == ["dark/cut.jpg", "dark/text.png", "empty.jpg"]
    assert done.problems["dark/cut.jpg"].startswith("is no picture that can be read: ")
    assert done.problems["dark/text.png"] == "is no picture of a kind that can be read"
    assert items(folder, shards=3) == items(folder, shards=3)
    assert done.problems["empty.jpg"].startswith("lies in no class's folder")
    assert sum(done.card["rows"].values()) == 20


def test_other_files_are_passed_over_and_counted(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "all")
    (folder / "dark" / "notes.txt").touch()
    passed_over = PassedOver()
    cut(folder, passed_over=passed_over)
    assert passed_over.shown() == {".txt": 1}


def test_test_pictures_come_from_a_folder_of_their_own(tmp_path: Path) -> None:
    train, test = pictures(tmp_path / "train"), pictures(tmp_path / "test", 3, (8, 6))
    (test / "dark" / "broken.png").touch()
    done = cut(train, test_file=str(test), size="4x3")
    assert done.card["rows"] == {"train": 18, "valid": 2, "test": 6}
    assert list(done.problems) == ["dark/broken.png"]
    (test / "dark").rename(test / "night")
    with pytest.raises(ValueError, match="test has classes that no training row has: 'night'"):
        cut(train, test_file=str(test), size="4x3")


def test_pictures_without_folders_of_classes_are_refused(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "all")
    with pytest.raises(ValueError, match="put the pictures of each class into a folder with its name"):
        cut(folder / "dark")
    (folder / "bright").rename(tmp_path / "bright")
    with pytest.raises(ValueError, match="one class in all rows, 'dark'"):
        cut(folder)


def test_a_folder_without_a_picture_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NothingToSplit, match="no pictures in"):
        cut(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").touch()
    with pytest.raises(ValueError, match=r"no picture in .* can be read, as a/b.png: is no picture of a kind"):
        cut(tmp_path)
