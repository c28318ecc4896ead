import numpy as np
from PIL import Image

from vsearch.reports.pictures import framed


def test_a_frame_is_drawn_inside_a_region():
    grey = Image.new("RGB", (40, 20), "grey")
    found = np.asarray(framed(grey, (0.5, 0, 1, 0.5)))
    changed = np.argwhere((found != np.asarray(grey)).any(axis=2))
    assert changed.min(axis=0).tolist() == [0, 20]
    assert changed.max(axis=0).tolist() == [9, 39]
    assert (found[2:8, 22:38] == 128).all()
    assert found[0, 20].tolist() == [255, 255, 255]
    assert found[1, 21].tolist() == [0, 0, 0]


def test_a_region_of_a_pixel_is_covered():
    dot = framed(Image.new("RGB", (1, 1)), (0, 0, 0.65, 0.65))
    assert dot.getpixel((0, 0)) == (255, 255, 255)
