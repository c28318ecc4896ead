from pathlib import Path

import pytest

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
    with pytest.raises(CatalogError, match=r"loop leads to .* whose photos are read already"):
        FolderCatalog(str(root)).items()


def test_a_broken_link_is_a_missing_photo(root: Path) -> None:
    (root / "shoes" / "gone.jpg").symlink_to(root / "shoes" / "nowhere.jpg")
    with pytest.raises(CatalogError, match="have no photo file"):
        FolderCatalog(str(root)).items()


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is not a folder"):
        FolderCatalog(str(tmp_path / "none")).items()
    touch(tmp_path, "loose.jpg", "shoes/notes.txt")
    with pytest.raises(CatalogError, match=r"no \.jpg, .*\.tiff under .*<label>"):
        FolderCatalog(str(tmp_path)).items()
