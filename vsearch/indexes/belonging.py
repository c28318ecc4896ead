from dataclasses import asdict, dataclass

FORMAT = 1  # of a collection's rows and of a saved index's files


@dataclass(frozen=True)
class Belonging:
    """Whose a collection is; an engine keeps it with the collection.

    Attributes:
        fingerprint: of the model that made the vectors.
        owner: drawn when a bundle's collection is made; one collection is one bundle's.
        dim: of the vectors.
    """

    fingerprint: str
    owner: str
    dim: int

    def meta(self) -> dict[str, str]:
        """Return what the engine is to keep."""
        return {"format": str(FORMAT), **{name: str(value) for name, value in asdict(self).items()}}

    def check(self, meta: dict[str, str] | None, url: str) -> None:
        """Compare with what an engine keeps with the collection at a URL; None: there is none.

        Raises:
            ValueError: says what differs; both fingerprints, where these do.
        """
        if meta is None:
            raise ValueError(
                f"{url} is not there (any more). Is it the right server, database and name?"
            )
        if meta.get("format") != str(FORMAT):
            raise ValueError(f"{url} was not made by this version of vsearch. Name another one.")
        if meta["fingerprint"] != self.fingerprint:
            raise ValueError(foreign(url, meta["fingerprint"], self.fingerprint))
        if meta["owner"] != self.owner:
            raise ValueError(taken(url))
        if meta["dim"] != str(self.dim):
            raise ValueError(f"{url} holds vectors of {meta['dim']} dimensions, not of {self.dim}.")


def foreign(url: str, theirs: str, ours: str) -> str:
    """Return what is wrong with another model's collection."""
    return f"{url} holds vectors of another model: fingerprint {theirs}, this one's is {ours}."


def taken(url: str) -> str:
    """Return what is wrong with another bundle's collection."""
    return f"{url} is there already, for another bundle or an earlier copy. Name another one, or delete that one there."
