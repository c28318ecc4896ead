import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Imports go up this list only; modules of one line don't import each other. The lines are as fine as needed: the module
# scores each epoch with evaluate, a backbone declares its Preprocessing, and both are above what they use.
LEVELS = [
    {"leaks", "lean", "joint", "locks", "ranks", "places", "shares"},
    {"images", "metrics", "splits", "freezing", "diagnostics", "spec", "precision", "convolution"},
    {"catalogs", "backbones", "heads", "losses", "indexes", "samplers", "scan", "filters"},
    {"embedder", "hits", "examples", "generations", "canaries", "dataset"},
    {"parameters", "searching", "calibration", "explain", "engines", "trunk", "loading", "parts"},
    {"reading"},
    {"evaluate", "datamodule", "bundle", "index_quality", "memory", "intake", "reliability"},
    {"module", "axes", "upkeep", "leakage", "moving", "arguments", "sharding"},
    {"exporting", "embedding", "publishing"},
    {"checks", "comparing"},
    {"studies", "health"},
    {"reports"},
    {"pages"},
    {"trainer_cli"},
    {"service"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
# Within a package everybody may import base.py, and what stands before it in one of these lists.
WITHIN = [
    ["reports.index_tables", "reports.tables", "reports.files"],
    ["reports.calibration_tables", "reports.tables"],
    ["reports.intervals", "reports.frontier", "reports.files"],
    ["reports.grid", "reports.boards", "reports.files"],
    [
        *("pages.render", "pages.charts", "pages.photos", "pages.pictures", "pages.projection"),
        *(f"pages.{name}" for name in ("headline", "training", "classes", "confusion", "extremes", "mislabelled")),
        *(f"pages.{name}" for name in ("scores", "embedding_map", "serving", "error_split", "catalog", "setup")),
        *("pages.report", "pages.written"),
    ],
    ["reports.grid", "reports.won_lost"],
    ["reports.tables", "reports.comparison_tables"],
    ["reports.won_lost", "reports.comparison"],
    ["reports.comparison_tables", "reports.comparison"],
    ["reports.intervals", "reports.study"],
    ["reports.tables", "reports.study"],
    [
        "indexes.exhaustive",
        "indexes.faiss_parts",
        "indexes.faiss_filtered",
        "indexes.faiss_removal",
        "indexes.faiss_files",
        "indexes.faiss_merging",
        "indexes.faiss",
        "indexes.serials",
        "indexes.collection",
        "indexes.stored",
        "indexes.belonging",
        "indexes.remote",
        "indexes.address",
        "indexes.postgres",
        "indexes.pgvector",
        "indexes.milvus",
        "indexes.prefix_bound",
        "indexes.exact",
        "indexes.candidates",
        "indexes.choice",
        "indexes.trial",
        "indexes.auto",
        "indexes.exactness",
    ],
    [
        f"service.{name}"
        for name in (
            *("schemas", "settings", "startup", "problems", "logs", "metrics", "access", "photos", "facets"),
            *("batching", "pools", "rows", "opened", "state", "guard", "replies", "work"),
            *("examples", "upload", "search_routes", "explain_routes", "item_routes", "status_routes"),
            *("admin_routes", "strict", "app", "server"),
        )
    ],
    ["engines.folding", "engines.torch", "engines.choice"],
    ["engines.onnx", "engines.openvino", "engines.lineage", "engines.choice"],
    [f"embedding.{name}" for name in ("plan", "network", "photos", "writer", "on_lightning", "on_ray")],
    ["exporting.photos", "exporting.proof", "exporting.graph", "exporting.int8", "exporting.export"],
    ["filters.columns", "filters.conditions", "filters.grammar"],
    [
        f"generations.{name}"
        for name in (
            *("files", "lock", "state", "manifest", "changes", "net", "live", "promote", "columns", "edit"),
            *("rebuild", "rollback", "report", "verify", "shadow", "copying"),
        )
    ],
    ["trunk.store", "trunk.views", "trunk.fill", "trunk.cache"],
    ["catalogs.csv_repair", "catalogs.table"],
    ["catalogs.photo_files", "catalogs.huggingface"],
    ["catalogs.demo_shapes", "catalogs.demo"],
    *(
        [f"backbones.{part}", f"backbones.{library}"]
        for library in ("torchvision", "timm", "open_clip", "transformers")
        for part in ("weights", "downloads", "inputs", "extras")
    ),
    ["backbones.restored", "backbones.inputs"],
    ["checks.config_files", "checks.config_errors", "checks.part_errors", "checks.margins", "checks.preflight"],
    ["checks.config_errors", "checks.monitors", "checks.preflight"],
    ["checks.config_errors", "checks.part_errors", "checks.dry_run", "checks.preflight"],
    ["checks.config_errors", "checks.training", "checks.preflight"],
    ["comparing.paired", "comparing.runs", "comparing.comparison", "comparing.gates"],
    [
        f"health.{name}"
        for name in (
            *("phash", "look", "photos", "labels", "groups", "near", "neighbours", "suspects", "embeddings", "source"),
            *("check", "report", "table", "page"),
        )
    ],
    ["studies.study", "studies.jobs", "studies.processes"],
    ["studies.study", "studies.ranking"],
    ["service.schemas", "service.failures", "service.calls", "service.client"],
    ["service.schemas", "service.failures", "service.retries", "service.client"],
    [
        *("service.schemas", "service.failures", "service.calls", "service.client"),
        *(
            f"service.page_{part}"
            for part in ("query", "words", "pictures", "service", "session", "sidebar", "sources")
        ),
        *(f"service.page_{part}" for part in ("why", "results", "quality")),
        "service.page",
    ],
]
FILES = sorted((ROOT / "vsearch").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The vsearch modules that a file imports, without the leading `vsearch.`, and `callbacks`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "vsearch" else [node.module]
            )
        found |= {name.removeprefix("vsearch.") for name in names if name.split(".")[0] in ("vsearch", "callbacks")}
    return found


def level(module: str) -> int:
    return next(number for number, names in enumerate(LEVELS) if module.split(".")[0] in names)


def below(other: str, own: str) -> bool:
    return any({own, other} <= {*line} and line.index(other) < line.index(own) for line in WITHIN)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    own = ".".join(path.relative_to(ROOT / "vsearch").with_suffix("").parts).removesuffix(".__init__")
    for other in imported(path) - {"vsearch"}:
        assert not other.startswith("callbacks"), f"{own} imports {other}: callbacks import vsearch, never the reverse"
        if own.split(".")[0] == other.split(".")[0]:
            assert other.endswith(".base") or below(other, own), f"{own} imports its sibling {other}"
        else:
            assert level(own) > level(other), f"{own} imports {other}, which is not below it"


def test_the_reader_of_imports_sees_what_is_there():
    assert {"evaluate", "metrics", "backbones.base"} <= imported(ROOT / "vsearch" / "module.py")
    assert {"indexes.base", "indexes.faiss", "metrics"} <= imported(ROOT / "vsearch" / "evaluate.py")
    assert "commands" in imported(ROOT / "vsearch" / "cli.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= 300


def test_no_utils():
    assert not list(ROOT.glob("vsearch/**/utils*"))
