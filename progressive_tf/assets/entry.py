"""What the catalogue says about one asset: its files, where they come from, how they are read, whose they are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
RelativePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][^\\:]*$")]
Part = Literal["all", "train", "validation", "test"]
Format = Literal[
    "csv",
    "csv-split",
    "csv-pairs",
    "rated-sentences",
    "orange-tab",
    "conll",
    "mnist-csv",
    "sklearn-digits",
    "image-parquet",
    "transformers",
    "wordpiece",
]


class Entry(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artefact(Entry):
    """One file of a published Python package, taken with pip and read as an archive; it is never installed.

    Attributes:
        package: the package's name.
        version: its exact version.
        file: the file's name; `.whl` is a wheel, anything else a source distribution.
        sha256: hash of the file; pip refuses any other.
        bytes: size of the file.
    """

    package: str
    version: str
    file: FileName
    sha256: Sha256
    bytes: int = Field(gt=0)


class PackageMember(Entry):
    """A file inside a package's artefact; `member` names it from the outermost archive to the innermost."""

    kind: Literal["package"]
    artefact: Artefact
    member: tuple[RelativePath, ...] = Field(min_length=1)

    def __str__(self) -> str:
        return f"{self.artefact.package} {self.artefact.version}, {self.artefact.file} → {' → '.join(self.member)}"


class Address(Entry):
    """A public address that answers with the file itself."""

    kind: Literal["url"]
    url: str = Field(pattern=r"^https?://")

    def __str__(self) -> str:
        return self.url


class HubFile(Entry):
    """A file of a repository on the Hugging Face hub; the hash, not the revision, says which content is meant."""

    kind: Literal["hub"]
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    file: RelativePath
    revision: str = "main"

    @property
    def url(self) -> str:
        """The address that answers with the file itself."""
        return f"https://huggingface.co/{self.repository}/resolve/{self.revision}/{self.file}"

    def __str__(self) -> str:
        return f"hub {self.repository}, {self.file}"


class InstalledFile(Entry):
    """A file that an installed Python module carries; it is used where it stands."""

    kind: Literal["installed"]
    module: str
    path: RelativePath

    def __str__(self) -> str:
        return f"{self.path} of the installed module {self.module}"


class SampleFile(Entry):
    """A file of `data_samples/`, which the package brings along; it is used where it stands."""

    kind: Literal["samples"]

    def __str__(self) -> str:
        return "data_samples/"


Source = Annotated[PackageMember | Address | HubFile | InstalledFile | SampleFile, Field(discriminator="kind")]


class AssetFile(Entry):
    """One file of an asset.

    Attributes:
        name: the name it has in the asset's folder.
        sha256: hash of its content, whichever source it came from.
        bytes: its size.
        sources: where it can be taken from, tried in this order.
    """

    name: FileName
    sha256: Sha256
    bytes: int = Field(gt=0)
    sources: tuple[Source, ...] = Field(min_length=1)


class Reading(Entry):
    """What a reader has to know about a data set's files beyond their format.

    Attributes:
        parts: file name of each published part; `all` where the publisher made no split.
        rows: examples in each part (sentences for token classification), before any row is left out.
        encoding: text encoding of the files.
        columns: names of the columns in file order, for files without a line that names them.
        text: column of the text, or of the tokens; absent for a table.
        label: column of the class, or of the tags; absent where the class follows from `rating`.
        rating: column of a number whose sign is the class.
        neutral: rows with |rating| ≤ neutral belong to no class and are left out.
        labels: names of the classes; for `rating` the negative one first.
        image: height and width of an image whose pixels stand in a row, row by row.
        pixel_maximum: value of a white pixel; 0 is black.
    """

    parts: dict[Part, FileName] = Field(min_length=1)
    rows: dict[Part, int]
    encoding: str = "utf-8"
    columns: tuple[str, ...] | None = None
    text: str | None = None
    label: str | None = None
    rating: str | None = None
    neutral: float | None = Field(default=None, ge=0)
    labels: tuple[str, ...] | None = None
    image: tuple[int, int] | None = None
    pixel_maximum: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _fields_agree(self) -> Reading:
        if self.parts.keys() != self.rows.keys():
            raise ValueError(f"parts {sorted(self.parts)} and rows {sorted(self.rows)} must name the same parts")
        if (self.rating is None) != (self.neutral is None):
            raise ValueError("rating and neutral come together")
        if (self.rating is None) == (self.label is None):
            raise ValueError("the class comes from `label` or from `rating`, from exactly one of them")
        named = [name for name in (self.text, self.label, self.rating) if name is not None]
        unknown = [name for name in named if self.columns is not None and name not in self.columns]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not among columns {list(self.columns or ())}")
        return self


class Asset(Entry):
    """A data set, weights or a vocabulary that can be used by name.

    Attributes:
        name: the key in the catalogue.
        kind: what it is.
        title: one line for people.
        task: what it is for: a task as plans name it, or text-encoding.
        format: which reader or loader takes it:
            `csv` and `csv-split`: a header line, comma separated, quoted where needed; `csv-split` has published parts.
            `csv-pairs`: as `csv`, with the columns `text` and `target`, the text that is expected.
            `rated-sentences`: tab separated, no header, no quoting, CRLF line ends.
            `orange-tab`: tab separated, no quoting; three header lines (names, types, roles) and then an empty line,
            or one of tabs alone, that is no example.
            `conll`: one token and its BIO tag a line, tab separated; an empty line ends a sentence.
            `mnist-csv`: gzip; a line is the pixels and then the digit.
            `sklearn-digits`: as `mnist-csv`, 8×8; scikit-learn's load_digits returns the same.
            `transformers`: config.json, model.safetensors and the tokenizer's files.
            `wordpiece`: one token a line, the line number is the id.
        licence: SPDX name of the licence or, where there is none, what is known.
        citation: whom to cite.
        files: what stands in the asset's folder.
        reading: for data sets, what a reader has to know.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    kind: Literal["dataset", "weights", "vocabulary"]
    title: str
    task: str
    format: Format
    licence: str
    citation: str
    files: tuple[AssetFile, ...] = Field(min_length=1)
    reading: Reading | None = None

    @model_validator(mode="after")
    def _files_fit(self) -> Asset:
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"files: each name once; got {names}")
        if (self.kind == "dataset") != (self.reading is not None):
            raise ValueError("a data set has `reading`, anything else has not")
        missing = sorted(set(self.reading.parts.values()) - set(names)) if self.reading else []
        if missing:
            raise ValueError(f"reading.parts names {missing[0]!r}, which is not among files {names}")
        return self

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(file.bytes for file in self.files)
