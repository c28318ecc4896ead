from pathlib import Path

import yaml

from vsearch.cli.main import main

ROOT = Path(__file__).parents[2]


class Project:
    """The shipped recipe on a tiny catalog and network, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.overlay = folder, folder / "tiny.yaml"
        settings = {
            "model": {
                "backbone": {"class_path": "tiny.TinyBackbone", "init_args": {"dim": 8}},
                "warmup_steps": 0,
            },
            "data": {
                "catalog": {
                    "class_path": "tiny.ColourCatalog",
                    "init_args": {"folder": str(folder / "colours")},
                },
                "axes": ["shelf"],
                "classes_per_batch": 4,
                "photos_per_class": 2,
                "num_workers": 0,
            },
            "trainer": {
                "accelerator": "cpu",
                "max_epochs": 2,
                "enable_progress_bar": False,
                "log_every_n_steps": 1,
            },
        }
        self.overlay.write_text(yaml.safe_dump(settings))

    def run(self, command: str, *words: str, configs: bool = True) -> Path:
        """Run a command; return the folder of its run."""
        own = ["--config", str(ROOT / "configs" / "triplet.yaml"), "--config", str(self.overlay)]
        own += ["--trainer.logger.init_args.save_dir", str(self.folder)]
        main([command, *(own if configs else []), *words])
        return max(
            (self.folder / "lightning_logs").iterdir(), key=lambda run: int(run.name.split("_")[1])
        )
