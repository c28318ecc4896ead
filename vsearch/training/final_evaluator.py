import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from vsearch.evaluation import calibration, naive_split, scoring
from vsearch.evaluation.axes import AxesScores, attributes, score_axes
from vsearch.evaluation.expansion import score_expansion
from vsearch.evaluation.final_evaluation import (
    FinalEvaluation,
    Hits,
    MeasuredCalibration,
    Network,
    NetworkScores,
    RegionScores,
    ViewsScores,
)
from vsearch.evaluation.index_quality import quality
from vsearch.evaluation.label_judge import LabelJudge
from vsearch.evaluation.products import ProductScores, score_products
from vsearch.evaluation.reliability import measured
from vsearch.evaluation.scoring import Embedded, Scores
from vsearch.evaluation.split_data import SplitData
from vsearch.indexes.auto import AutoIndex
from vsearch.indexes.base import Index
from vsearch.indexes.choice import BudgetError
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.regions import for_shape
from vsearch.models.adaptations.base import Adaptation
from vsearch.models.backbones.base import Backbone
from vsearch.models.embedder import Embedder
from vsearch.models.heads.adapted import AdaptedHead
from vsearch.models.text.encoder import TEMPLATE
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.embedding_loop import embed_loader
from vsearch.training.module import MetricLearner


@dataclass(frozen=True)
class TestPhotos:
    """Test queries and gallery, embedded by one network; and gallery photos embedded per second."""

    queries: Embedded
    gallery: Embedded
    photos_per_s: float


@dataclass(frozen=True)
class BuiltIndex:
    """An index of the gallery.

    Attributes:
        index: the wanted index, or exact search if nothing met its budgets.
        vectors: what it holds: float32 (n, dim), or with regions (n, per_item, dim).
        fingerprint: of the network whose vectors it holds.
        build_s: seconds that building took.
        budget_error: the missed budgets, if exact search replaced the index.
    """

    index: Index
    vectors: np.ndarray
    fingerprint: str
    build_s: float
    budget_error: BudgetError | None = None


def load_best_weights(module: MetricLearner, checkpoint: str) -> int:
    """Load a checkpoint's weights, without the optimizer's state; return its epoch."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    module.load_state_dict(saved["state_dict"])
    return int(saved["epoch"])


def network_of(module: MetricLearner) -> Network:
    """Return a report's entry about a module's network."""
    backbone = module.backbone
    weights = list(module.parameters())
    return Network(
        class_path=backbone.spec()["class_path"],
        dim=module.embedder.dim,
        origin=backbone.origin,
        wanted=backbone.wanted,
        parameters=sum(weight.numel() for weight in weights),
        trained_parameters=sum(weight.numel() for weight in weights if weight.requires_grad),
    )


def build_index(
    index: Index, vectors: np.ndarray, fingerprint: str, judge: LabelJudge | None = None
) -> BuiltIndex:
    """Index vectors, float32 (n, dim), of the network with this fingerprint.

    With regions they are (n, per_item, dim), and the index becomes a RegionIndex. An AutoIndex with
    label budgets asks the `judge`.

    If an AutoIndex finds nothing within its budgets, exact search is built, so that the trained
    model isn't lost.
    """
    if isinstance(index, AutoIndex):
        index.judge = judge
        if judge is not None and vectors.ndim == 3:
            index.judge = judge.by_vector(vectors)
    index = for_shape(index, vectors.shape[1:])
    index.bind(fingerprint)
    start = time.perf_counter()
    try:
        index.build(vectors)
    except BudgetError as error:
        rank_zero_warn(
            f"BuildIndex: {error}\n"
            "Exact search is used instead: loosen a budget to get another index."
        )
        exact = for_shape(ExactIndex(), vectors.shape[1:])
        exact.build(vectors)
        return BuiltIndex(exact, vectors, fingerprint, time.perf_counter() - start, error)
    return BuiltIndex(index, vectors, fingerprint, time.perf_counter() - start)


class FinalEvaluator:
    """Measures networks, and an index of their embeddings, on the test part of a catalog.

    Args:
        data: the catalog, split.
        device: where the networks compute; afterwards they are on the CPU again.
    """

    def __init__(self, data: CatalogDataModule, device: torch.device) -> None:
        self.data = data
        self.device = device

    def adapt(self, embedder: Embedder, adaptation: Adaptation) -> None:
        """Fit an adaptation to the train part's embeddings, and append it to the network."""
        photos = self._embed(embedder, self.data.part("train"), "train photos (to adapt)")
        layer = adaptation.fit(photos.embeddings, photos.labels)
        embedder.head = AdaptedHead.of(layer, embedder.head)

    def embed_test_photos(
        self, embedder: Embedder, title: str, one_view: bool = False
    ) -> TestPhotos:
        """Embed the test queries and the gallery; the progress bar shows `title`.

        `one_view`: embed the photos without further views.
        """
        queries = self._embed(embedder, self.data.queries("test"), f"queries ({title})", one_view)
        start = time.perf_counter()
        gallery = self._embed(embedder, self.data.gallery("test"), f"gallery ({title})", one_view)
        return TestPhotos(queries, gallery, len(gallery) / (time.perf_counter() - start))

    def embed_regions(self, embedder: Embedder, gallery: Embedded) -> np.ndarray:
        """Return what the index is to hold of the gallery: its embeddings, float32 (n, dim), or
        with `data.index_views` also those of the regions, (n, per_item, dim), the whole photo's
        first.
        """
        _, *regions = embedder.preprocessing.regions
        if not regions:
            return gallery.embeddings
        vectors = [gallery.embeddings]
        embedder.eval().to(self.device)
        for number, region in enumerate(regions, start=1):
            loader = self.data.photo_loader(self.data.gallery("test"), region)
            title = f"Embedding region {number} of {len(regions)}"
            found = embed_loader(embedder.embed_views, loader, self.device, title)
            vectors.append(found.embeddings)
        embedder.cpu()
        return np.stack(vectors, axis=1)

    def judge(self, embedder: Embedder, photos: TestPhotos) -> LabelJudge | None:
        """Return what judges indexes of the gallery in `photos` by val photos.

        None where these search another gallery: they have other labels, or are what is tested.
        """
        if not self._val_searches_the_same_gallery():
            return None
        items = self.data.queries("val")
        queries = self._embed(embedder, items, "val queries (to choose and to calibrate)")
        known = attributes(items, self.data.gallery("test"), self.data.axes)
        return LabelJudge(queries, photos.gallery, known)

    def score_untrained(self, backbone: Backbone, weights: dict[str, Tensor]) -> NetworkScores:
        """Score a backbone before training, with exact search; it keeps these weights."""
        backbone.load_state_dict(weights)
        photos = self.embed_test_photos(Embedder(backbone), "before training")
        index = scoring.exact_index(photos.gallery)
        hits = scoring.top_hits(index, photos.queries, photos.gallery)
        labels = scoring.score(index, photos.queries, photos.gallery)
        return NetworkScores(
            labels,
            self._score_axes(hits, photos),
            self._score_products(photos),
            self._score_words(backbone, photos.gallery),
        )

    def evaluate(
        self,
        embedder: Embedder,
        photos: TestPhotos,
        built: BuiltIndex,
        untrained: NetworkScores | None,
        error_rate: float,
        judge: LabelJudge | None,
    ) -> FinalEvaluation:
        """Measure the trained network that embedded `photos`, and the index of its gallery.

        Val photos calibrate, if they can judge.
        """
        queries = photos.queries
        gallery = photos.gallery
        trained = scoring.score(built.index, queries, gallery)
        hits = Hits(*scoring.scored_hits(built.index, queries, gallery))
        exact = None
        if not built.index.exact:
            exact = scoring.score_exactly(queries, gallery, built.vectors)
        with_parts = exact or trained
        whole = with_parts
        regions = None
        if built.vectors.ndim == 3:
            whole = scoring.score_exactly(queries, gallery)
            regions = RegionScores(built.vectors.shape[1], whole, with_parts)
        before = None if untrained is None else untrained.labels
        data = self._split_data()
        return FinalEvaluation(
            data=data,
            trained=NetworkScores(
                trained,
                self._score_axes(hits.positions, photos),
                self._score_products(photos),
                self._score_words(embedder.backbone, gallery),
            ),
            exact=exact,
            untrained=untrained,
            hits=hits,
            gallery=gallery.embeddings,
            fingerprint=built.fingerprint,
            index=_index_quality(built, photos),
            calibration=self._calibrate(photos, built.index, error_rate, judge),
            naive_split=naive_split.claims_of_a_naive_split(data, trained, before),
            views=self._score_views(embedder, photos, whole),
            regions=regions,
            expansion=score_expansion(built.index, queries, gallery, trained),
            photos_per_s=None if self._embeds_maps else photos.photos_per_s,
        )

    def _score_views(
        self, embedder: Embedder, photos: TestPhotos, all_views: Scores
    ) -> ViewsScores | None:
        """Score photos without views, among each other and in the gallery of all views."""
        views = embedder.preprocessing.views
        if not views:
            return None
        one = self.embed_test_photos(embedder, "one view", one_view=True)
        return ViewsScores(
            views=[type(view).__name__ for view in views],
            one_view=scoring.score_exactly(one.queries, one.gallery),
            one_view_queries=scoring.score_exactly(one.queries, photos.gallery),
            all_views=all_views,
            photos_per_s=photos.photos_per_s,
            one_view_photos_per_s=one.photos_per_s,
        )

    def _embed(
        self, embedder: Embedder, items: pd.DataFrame, what: str, one_view: bool = False
    ) -> Embedded:
        embedder.eval().to(self.device)
        embed: Callable[[Tensor], Tensor]
        if self._embeds_maps:
            embed = embedder.embed_maps
            loader = self.data.loader(items)
        else:
            embed = embedder.embed_photos if one_view else embedder.embed_views
            loader = self.data.photo_loader(items)
        found = embed_loader(embed, loader, self.device, f"Embedding {what}")
        embedder.cpu()
        keys = self.data.exclusion_keys()[found.rows]
        return Embedded(found.embeddings, found.labels, keys)

    @property
    def _embeds_maps(self) -> bool:
        """Whether a trunk cache saves work; it keeps maps of photos, not of their views."""
        return self.data.gives_maps and not self.data.eval_views

    def _score_axes(self, hits: np.ndarray, photos: TestPhotos) -> AxesScores:
        data = self.data
        known = attributes(data.queries("test"), data.gallery("test"), data.axes)
        return score_axes(hits, photos.queries, photos.gallery, known)

    def _score_products(self, photos: TestPhotos) -> ProductScores | None:
        data = self.data
        if data.group is None:
            return None
        items = (data.queries("test"), data.gallery("test"))
        return score_products(photos.queries, photos.gallery, *items, data.group)

    def _score_words(self, backbone: Backbone, gallery: Embedded) -> Scores | None:
        """Score the gallery's labels as texts; None without a text tower."""
        words = backbone.words
        if words is None:
            return None
        codes = np.unique(gallery.labels)
        texts = [TEMPLATE.format(self.data.label_names[code]) for code in codes]
        words.tower.to(self.device)
        vectors = words.embed(texts)
        words.tower.cpu()
        no_photo = np.full(len(codes), -1)
        return scoring.score_exactly(Embedded(vectors, codes, no_photo), gallery)

    def _calibrate(
        self, photos: TestPhotos, index: Index, error_rate: float, judge: LabelJudge | None
    ) -> MeasuredCalibration:
        """Calibrate on some queries, and measure the calibration on others.

        If val photos search the same gallery, they calibrate, so all test photos can measure. The
        epoch was chosen on val photos, so they score a little better than new ones; the measured
        rates show how much. Otherwise half of the test photos calibrate; photos that share a key
        stay together.
        """
        if judge is not None:
            held_out = judge.asked
            rest = photos.queries
            source = "val photos"
        else:
            chosen = scoring.half(photos.queries.keys, self.data.seed)
            held_out = photos.queries.take(np.flatnonzero(chosen))
            rest = photos.queries.take(np.flatnonzero(~chosen))
            source = "half of the test photos"

        known = _scores_and_right(index, held_out, photos.gallery)
        fitted = calibration.fit(*known, error_rate, source)
        unseen = _scores_and_right(index, rest, photos.gallery)
        return MeasuredCalibration(fitted, measured(fitted, *unseen))

    def _val_searches_the_same_gallery(self) -> bool:
        data = self.data
        shared = data.part("val").index.intersection(data.part("test").index)
        return (
            shared.empty
            and len(data.queries("val")) > 0
            and data.gallery("val").index.equals(data.gallery("test").index)
        )

    def _split_data(self) -> SplitData:
        data = self.data
        return SplitData(
            catalog=data.catalog,
            split=data.split,
            items=data.items,
            content_hashes=data.content_hashes,
            skipped=data.skipped,
            label_names=data.label_names,
            queries=data.queries("test"),
            gallery=data.gallery("test"),
            measured_on=str(data.part("test")["split"].iloc[0]),
            batch_seed=data.seed,
            group=data.group,
            fuse=data.fuse,
        )


def _index_quality(built: BuiltIndex, photos: TestPhotos) -> dict[str, Any]:
    found = quality(built.index, photos.queries.embeddings, built.vectors, built.build_s)
    if built.budget_error is None:
        return found
    reason = str(built.budget_error).splitlines()[0].partition(" Nothing")[0]
    why = f"Exact search, since {reason}"
    return {**found, "why": why, "frontier": built.budget_error.frontier}


def _scores_and_right(
    index: Index, queries: Embedded, gallery: Embedded
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of the queries' best hits, and whether these are right."""
    if not len(queries):  # half of a single query
        return np.zeros((0, 1)), np.zeros((0, 1), dtype=bool)
    scores, hits = scoring.scored_hits(index, queries, gallery)
    return scores, scoring.relevant(hits, queries.labels, gallery.labels)
