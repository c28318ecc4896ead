import os
from pathlib import Path

import pytest
from adversarial.photos import pipe

from vsearch.data.catalogs.base import CatalogError
from vsearch.data.catalogs.folder import FolderCatalog


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    touch(tmp_path / "photos", "shoes/b.jpg", "shoes/a.PNG", "bags/deep/er/c.webp", "bags/d.tiff")
    return tmp_path / "photos"


def test_a_folder_is_a_label(root: Path) -> None:
    items = FolderCatalog(str(root)).items()
    assert list(items["id"]) == ["bags/d.tiff", "bags/deep/er/c.webp", "shoes/a.PNG", "shoes/b.jpg"]
    assert list(items["label"]) == ["bags", "bags", "shoes", "shoes"]
    assert [Path(path) for path in items["path"]] == [root / id for id in items["id"]]


def test_paths_start_from_the_current_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert FolderCatalog("photos").items()["path"][0] == str(Path("photos", "bags", "d.tiff"))
    monkeypatch.chdir(root)
    assert FolderCatalog(".").items()["id"][0] == "bags/d.tiff"


def test_hidden_foreign_and_unlabelled_files_are_ignored(root: Path) -> None:
    before = FolderCatalog(str(root)).items()
    touch(
        root,
        "loose.jpg",
        "shoes/.hidden.jpg",
        ".cache/e.jpg",
        ".cache/f.jpg",
        "shoes/notes.txt",
        "shoes/jpg",
    )
    assert FolderCatalog(str(root)).items().equals(before)


def test_extensions_can_be_chosen(root: Path) -> None:
    touch(root, "shoes/e.heic", "shoes/f.HEIC")
    assert list(FolderCatalog(str(root), extensions=[".heic"]).items()["id"]) == [
        "shoes/e.heic",
        "shoes/f.HEIC",
    ]


def test_small_labels_are_dropped_and_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(root, "shoes/e.jpg", "hats/f.jpg")
    assert set(FolderCatalog(str(root)).items()["label"]) == {"bags", "shoes"}
    assert "Dropped 1 items of 1 labels" in caplog.text
    assert "'hats' has 1 (id='hats/f.jpg')" in caplog.text
    assert set(FolderCatalog(str(root), min_images_per_label=3).items()["label"]) == {"shoes"}
    with pytest.raises(CatalogError, match="the only photo of their label"):
        FolderCatalog(str(root), min_images_per_label=1).items()


def test_links_to_photos_inside_are_photos(root: Path) -> None:
    (root / "bags" / "again.jpg").symlink_to(root / "shoes" / "b.jpg")
    assert "bags/again.jpg" in set(FolderCatalog(str(root)).items()["id"])


def test_the_root_may_be_a_link(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    assert len(FolderCatalog(str(root.parent / "link")).items()) == 4


@pytest.mark.parametrize("link", ["shoes/out.jpg", "outer"])
def test_links_that_lead_out_are_refused(root: Path, link: str) -> None:
    touch(root.parent, "outside/x.jpg", "photos-2/y.jpg")
    (root / link).symlink_to(
        root.parent / ("outside/x.jpg" if link.endswith("jpg") else "photos-2")
    )
    with pytest.raises(CatalogError, match=f"{link} leads out of .*photos"):
        FolderCatalog(str(root)).items()


def test_links_to_folders_inside_are_refused(root: Path) -> None:
    (root / "shoes" / "loop").symlink_to(root)
    with pytest.raises(CatalogError, match=r"loop leads to .* whose photos are already read"):
        FolderCatalog(str(root)).items()


def test_a_broken_link_is_a_missing_photo(root: Path) -> None:
    (root / "shoes" / "gone.jpg").symlink_to(root / "shoes" / "nowhere.jpg")
    with pytest.raises(CatalogError, match="have no photo file"):
        FolderCatalog(str(root)).items()


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is not a folder"):
        FolderCatalog(str(tmp_path / "none")).items()
    touch(tmp_path, "loose.jpg", "shoes/notes.txt")
    with pytest.raises(CatalogError, match=r"no \.jpg, .*\.tiff, .* under .*<label>.* Ignored: 1 "):
        FolderCatalog(str(tmp_path)).items()


@pytest.mark.parametrize("name", ["e.jfif", "e.JPE", "e.avif", "e.heic", "e.apng", "e.mpo"])
def test_every_extension_of_a_format_that_is_read_is_taken(root: Path, name: str) -> None:
    touch(root, f"shoes/{name}")
    assert f"shoes/{name}" in set(FolderCatalog(str(root)).items()["id"])


def test_what_is_not_taken_is_counted_by_kind(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(root, "a.jpg", "shoes/a.txt", "shoes/b.TXT", "bags/plain", "bags/c.jp2")
    assert len(FolderCatalog(str(root)).items()) == 4
    for count in ("2 .txt", "1 without an extension", "1 .jp2", "1 directly in"):
        assert count in caplog.text


@pytest.mark.parametrize(
    "folder",
    ["@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", ".Trash-1000"],
)
def test_service_folders_are_skipped(
    root: Path, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    touch(root, f"{folder}/a.jpg", f"shoes/{folder}/b.jpg", "shoes/Thumbs.db", "desktop.ini")
    assert len(FolderCatalog(str(root)).items()) == 4
    assert "ignored" not in caplog.text


@pytest.mark.parametrize("parts", [("train", "val"), ("Training", "TEST"), ("query", "gallery")])
def test_parts_of_a_split_are_no_labels(tmp_path: Path, parts: tuple[str, str]) -> None:
    for part in parts:
        touch(tmp_path, f"{part}/shoes/a.jpg", f"{part}/bags/b.jpg")
    with pytest.raises(CatalogError, match="parts of a split, not labels"):
        FolderCatalog(str(tmp_path)).items()


@pytest.mark.parametrize("name", [b"\xff.jpg", b"a\nb.jpg", b"\xe9"])
def test_a_name_that_cannot_be_shown_is_refused(root: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(root / "shoes") + b"/" + name)).touch()
    with pytest.raises(CatalogError, match=r"shoes/.*Rename it") as refusal:
        FolderCatalog(str(root)).items()
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "labels",
    [
        ["train2017", "val2017"],
        ["train_set", "test_set"],
        ["Training_Data", "validation_data"],
        ["Train ", "Test "],
        ["holdout", "train"],
        ["fold0", "fold1", "fold2"],
        ["train", "val", "test", "misc"],
    ],
)
def test_parts_of_a_split_have_many_names(tmp_path: Path, labels: list[str]) -> None:
    for label in labels:
        for number in range(2):
            (tmp_path / label).mkdir(exist_ok=True)
            (tmp_path / label / f"{number}.jpg").touch()
    with pytest.raises(CatalogError, match="parts of a split, not labels"):
        FolderCatalog(str(tmp_path)).read()


def test_labels_that_only_sound_like_parts_are_labels(tmp_path: Path) -> None:
    for label in ("trainers", "test tubes", "train", "folder"):
        for number in range(2):
            (tmp_path / label).mkdir(exist_ok=True)
            (tmp_path / label / f"{number}.jpg").touch()
    assert FolderCatalog(str(tmp_path)).read()["label"].nunique() == 4


def test_links_in_circles_are_named(root: Path) -> None:
    (root / "shoes" / "x.jpg").symlink_to(root / "shoes" / "y.jpg")
    (root / "shoes" / "y.jpg").symlink_to(root / "shoes" / "x.jpg")
    with pytest.raises(CatalogError, match=r"shoes/[xy]\.jpg can't be read"):
        FolderCatalog(str(root)).items()


def test_a_pipe_is_no_photo(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe(root / "shoes")
    assert len(FolderCatalog(str(root)).items()) == 4
    assert "pipe.jpg isn't a regular file" in caplog.text
