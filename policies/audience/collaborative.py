"""Collaborative filtering as one model: fit, score, fold in a newcomer, save, load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from envs.errors import InterludeError
from policies.audience.als import factorise, fold_in
from policies.audience.artefact import Artefact, DataDescription, load_artefact, save_artefact, take_tensor
from policies.audience.bpr import fit_bpr, fold_in_bpr
from policies.audience.factors import ListeningFactors
from policies.audience.history import ListeningHistory
from policies.audience.interactions import Interactions, Weighting, pair_weights
from policies.folders import DamagedFileError


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    dimensions: int = Field(default=64, ge=1)
    seed: int = Field(default=0, ge=0)


class AlsSettings(_Settings):
    """Alternating least squares, see `policies.audience.als`; defaults tuned on validation splits."""

    model: Literal["als"] = "als"
    iterations: int = Field(default=15, ge=1)
    confidence_slope: float = Field(default=4.0, gt=0.0)
    weighting: Weighting = "log"
    regularisation: float | None = Field(default=None, gt=0.0, description="None: by the share below")
    regularisation_share: float = Field(default=0.145, gt=0.0)

    def resolved(self, history: ListeningHistory) -> AlsSettings:
        """The same with a number for the regularisation, if there is none.

        It is a share of the mean over listeners of the confidence in what they played: a fixed number would
        leave a small or short history no factors at all, and a large one unregularised.
        """
        if self.regularisation is not None:
            return self
        total = self.confidence_slope * float(pair_weights(history, self.weighting).sum())
        number = self.regularisation_share * total / len(history.listener_id)
        return self.model_copy(update={"regularisation": number})

    def fit(self, history: ListeningHistory) -> ListeningFactors:
        """The factors of a history."""
        return factorise(
            history,
            self.dimensions,
            self.seed,
            iterations=self.iterations,
            confidence_slope=self.confidence_slope,
            regularisation=_number(self.resolved(history)),
            weighting=self.weighting,
        )


class BprSettings(_Settings):
    """Bayesian personalised ranking, see `policies.audience.bpr`; defaults tuned on validation splits."""

    model: Literal["bpr"] = "bpr"
    epochs: int = Field(default=300, ge=1)
    learning_rate: float = Field(default=0.05, gt=0.0)
    regularisation: float = Field(default=0.01, ge=0.0)

    def resolved(self, history: ListeningHistory) -> BprSettings:
        """The same: nothing depends on the history."""
        return self

    def fit(self, history: ListeningHistory) -> ListeningFactors:
        """The factors of a history; their last dimension is the items' bias."""
        return fit_bpr(
            history,
            self.dimensions,
            self.seed,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            regularisation=self.regularisation,
        )


CollaborativeSettings = AlsSettings | BprSettings

ORDERLESS_ALS: Final = AlsSettings(regularisation_share=0.19)
"""For sequences without regard to their order, where nearly every item was played once; tuned likewise."""


def _number(settings: AlsSettings) -> float:
    if settings.regularisation is None:
        raise ValueError("the regularisation has no number yet: it comes with a history, see `resolved`")
    return settings.regularisation


@dataclass(frozen=True)
class CollaborativeModel:
    """Fitted factors and whose they are."""

    settings: CollaborativeSettings
    factors: ListeningFactors
    listener_id: NDArray[np.int64]
    """[L] ascending"""
    item_id: NDArray[np.int64]
    """[I] ascending"""

    def scores(self, listeners: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores [n, I] of all items for listeners [n], given by their index."""
        return self.factors.listener_factor[listeners] @ self.factors.item_factor.T

    def newcomer(self, item: NDArray[np.int32], plays: NDArray[np.int64]) -> NDArray[np.float32]:
        """The factor of a listener whom the fit never saw, from a few plays.

        Args:
            item: [n] index of what was played, each once.
            plays: [n] how often, at least 1.

        Raises:
            ValueError: nothing was played, an unknown item, a count below 1.
        """
        item, plays = np.asarray(item, np.int32), np.asarray(plays, np.int64)
        if not item.size or item.shape != plays.shape or len(np.unique(item)) != len(item):
            raise ValueError(
                f"items must be distinct, each with its plays, at least one; got {item.tolist()}"
            )
        if not 0 <= item.min() <= item.max() < len(self.item_id) or plays.min() < 1:
            raise ValueError(f"items must lie in [0, {len(self.item_id) - 1}], plays must be at least 1")
        settings, items = self.settings, self.factors.item_factor
        if isinstance(settings, BprSettings):
            return fold_in_bpr(items, item, regularisation=settings.regularisation)
        alone = ListeningHistory(
            np.zeros(len(item), np.int32), item, plays, np.zeros(1, np.int64), self.item_id
        )
        weight = settings.confidence_slope * pair_weights(alone, settings.weighting)
        played = Interactions(np.array([0, len(item)]), item, weight)
        folded: NDArray[np.float32] = fold_in(items, played, regularisation=_number(settings))[0]
        return folded

    def save(self, folder: Path, data: DataDescription) -> None:
        """Writes an artefact."""
        tensors = {**self.factors._asdict(), "listener_id": self.listener_id, "item_id": self.item_id}
        save_artefact(folder, Artefact(self.settings.model, self.settings.model_dump(), data, tensors))


def fit_collaborative(history: ListeningHistory, settings: CollaborativeSettings) -> CollaborativeModel:
    """The model of a history."""
    settings = settings.resolved(history)
    return CollaborativeModel(settings, settings.fit(history), history.listener_id, history.item_id)


def load_collaborative(folder: Path) -> CollaborativeModel:
    """The model of an artefact.

    Raises:
        DamagedFileError: a file is missing, damaged or does not fit; it is named.
        InterludeError: the folder holds another kind of model.
    """
    artefact = load_artefact(folder)
    if artefact.model not in ("als", "bpr"):
        raise InterludeError(f"{folder} holds the model {artefact.model}, not one of als, bpr")
    try:
        settings = (AlsSettings if artefact.model == "als" else BprSettings).model_validate(
            artefact.configuration
        )
    except ValidationError as error:
        raise DamagedFileError(f"{folder}: the manifest's configuration is damaged: {error}") from error
    listener_id = take_tensor(artefact, "listener_id", (None,))
    item_id = take_tensor(artefact, "item_id", (None,))
    width = settings.dimensions + (artefact.model == "bpr")
    factors = ListeningFactors(
        take_tensor(artefact, "listener_factor", (len(listener_id), width)),
        take_tensor(artefact, "item_factor", (len(item_id), width)),
    )
    return CollaborativeModel(settings, factors, listener_id, item_id)
