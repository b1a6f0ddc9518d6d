"""A small run with its records, written as docs/provenance.md says, for the tests of the audit."""

import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset

SPLIT = """scan\tpatient\tcohort\tstyle\tside
a\tp1\tmine\ts1\ttrain
b\tp1\tmine\ts2\ttrain
c\tp2\tmine\ts1\ttest
"""
GENERATED = "index\tcontent_scan\tstyle_scan\tkind\n"
TABLE = "results/paper/tables/table2.csv"
FIGURE = "results/paper/figures/figure4.png"
GENERATOR = "results/transfer/ours/seed0/generator.safetensors"
TEST_ROWS = "results/transfer/ours/seed0/test.tsv"
EXTRA_ROWS = "results/augmented/ours/seed0.tsv"
SPLIT_NAME = "results/styles/split.tsv"
SLICES = "results/slices/a.tsv"
SOURCES, PRODUCTS = "results/provenance/sources.json", "results/provenance/products.json"
TYPST = "results/paper/paper.typ"
SERIES = "results/cohorts/mine/a.zip"
CONFIG = "code:config/config.yaml"


def sha256(data: bytes) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def dicom_bytes(*, pixels: bytes = bytes(range(32)), description: str = "spine"):
    """One CT image of 4 x 4 pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.1.2.1", "1.2.3"
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPInstanceUID, dataset.SOPClassUID = "1.2.3", "1.2.840.10008.5.1.4.1.1.2"
    dataset.Modality, dataset.SeriesDescription = "CT", description
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelData = 1, "MONOCHROME2", pixels
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def expected_pixel_sha256(data: bytes) -> str:
    """The contract's digest of the pixels, through pydicom."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    about = [dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.PixelRepresentation]
    about += [dataset.PhotometricInterpretation, dataset.file_meta.TransferSyntaxUID]
    return sha256(dataset.PixelData + ",".join(map(str, about)).encode())


def zip_series(path: Path, images: dict[str, bytes]) -> None:
    """A series as one archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in images.items():
            archive.writestr(name, data)


class SmallRun:
    """A run in `folder`: its results, its data and its checkout. `job` runs a job, `seal` seals all."""

    def __init__(self, folder: Path):
        self.folder, self.results, self.checkout = folder, folder / "results", folder / "checkout"
        self.write("checkout/ctstyle/run/fit.py", "steps = 3\n")
        self.write("checkout/config/config.yaml", "seeds: [0]\n")
        self.images = {"ct/1.dcm": dicom_bytes(), "ct/2.dcm": dicom_bytes(pixels=bytes(32))}
        zip_series(folder / SERIES, self.images)
        self.job("cut_scan", {"scan": "a"}, {SLICES: "scan\tsha256\na\t00\n"}, [SERIES, ("source:mine/b", "1" * 64)])
        self.job("find_styles", {}, {SPLIT_NAME: SPLIT}, [SLICES])
        self.job("train_transfer", {"model": "ours", "seed": "0"}, {GENERATOR: "weights 1"}, [SLICES, SPLIT_NAME])
        rows = GENERATED + "0\tc\tb\ttransfer\n1\tc\tc\tidentity\n"
        self.job("stylise_test", {"seed": "0"}, {TEST_ROWS: rows}, [GENERATOR, SPLIT_NAME])
        self.job("generate", {"seed": "0"}, {EXTRA_ROWS: GENERATED + "0\ta\tb\t\n"}, [GENERATOR, SPLIT_NAME])
        self.job("make_table2", {}, {TABLE: "arm,miou\nours,0.91\n"}, [TEST_ROWS, EXTRA_ROWS])
        self.job("draw_figure4", {}, {FIGURE: "a picture"}, [SPLIT_NAME])
        self.write("results/logs/cut_scan/a.log", "done\n")
        self.write("results/transfer/ours/seed0/.train-0.state", "state")
        self.write("results/report.html", "<html>")
        self.write_sources()
        self.write(PRODUCTS, json.dumps({"products": [TABLE, FIGURE]}))
        self.seal()

    def write(self, name: str, text: str) -> Path:
        """Write a file, whatever stood there."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def record_path(self, rule: str, wildcards: dict[str, str]) -> Path:
        """Where a job's record lies."""
        name = "-".join(wildcards.values())
        return self.results / "provenance/records" / (f"{rule}/{name}.json" if name else f"{rule}.json")

    def job(self, rule: str, wildcards: dict, outputs: dict[str, str], inputs: list, *, torch: str = "2.0") -> Path:
        """Write the outputs of a job and its record; `inputs` are names, or names with their digests."""
        for name, text in outputs.items():
            self.write(name, text)
        read = [one if isinstance(one, tuple) else (one, self.digest(one)) for one in inputs]
        code = "code:ctstyle/run/fit.py", sha256((self.checkout / "ctstyle/run/fit.py").read_bytes())
        params = {"steps": 3, "code": sha256(f"{code[1]}  ctstyle/run/fit.py\n".encode())}
        keyed = [[str(i), name, digest] for i, (name, digest) in enumerate(read)]
        work = {"rule": rule, "wildcards": wildcards, "params": params, "inputs": sorted(keyed)}
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [
                {"name": name, "digest": {"sha256": self.digest(name)}, "annotations": {"key": f"file{number}"}}
                for number, name in enumerate(outputs)
            ],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "https://ctstyle/job/v2",
                    "externalParameters": {"rule": rule, "wildcards": wildcards, "params": params, "seed": 0},
                    "internalParameters": {"packages": {"torch": torch}, "python": "3.11.7", "cpu": "one"},
                    "resolvedDependencies": [
                        *({"name": f"input:{i}", "uri": n, "digest": {"sha256": d}} for i, (n, d) in enumerate(read)),
                        {"name": code[0], "uri": code[0], "digest": {"sha256": code[1]}},
                        {
                            "name": "git",
                            "uri": "git:HEAD",
                            "digest": {"gitCommit": "c" * 40},
                            "annotations": {"dirty": False},
                        },
                    ],
                },
                "runDetails": {"metadata": {"invocationId": sha256(json.dumps(work, sort_keys=True).encode())}},
            },
        }
        path = self.record_path(rule, wildcards)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(statement))
        return path

    def digest(self, name: str) -> str:
        """SHA-256 of a file by its name."""
        return sha256((self.folder / name).read_bytes())

    def write_sources(self) -> None:
        """The manifest: one series here, one that is private, and the config."""
        images = [
            {
                "member": name,
                "sop_instance_uid": "1.2.3",
                "sha256": sha256(data),
                "pixel_sha256": expected_pixel_sha256(data),
            }
            for name, data in self.images.items()
        ]
        files = [
            {"name": SERIES, "sha256": self.digest(SERIES), "kind": "dicom", "cohort": "mine", "instances": images},
            {"name": "source:mine/b", "sha256": "1" * 64, "kind": "dicom", "cohort": "mine"},
            {"name": CONFIG, "sha256": self.digest("checkout/config/config.yaml"), "kind": "config", "cohort": ""},
        ]
        self.write(SOURCES, json.dumps({"files": files}))

    def seal(self) -> str:
        """Seal the results as they are, and print the paper; returns the root."""
        after = {self.record_path(rule, {}) for rule in ("seal", "print_paper")}
        records = set((self.results / "provenance/records").rglob("*.json")) - after
        names = {path.relative_to(self.folder).as_posix() for path in records} | {SERIES, SOURCES, PRODUCTS}
        for path in records:
            names |= {subject["name"] for subject in json.loads(path.read_text())["subject"]}
        lines = "".join(f"{self.digest(name)}  {name.removeprefix('results/')}\n" for name in sorted(names))
        root = sha256(lines.encode())
        seal = {"root": root, "files": len(names), "commit": "c" * 40, "created": "2026-11-23T04:00:00Z"}
        made = {"results/provenance/SHA256SUMS": lines, "results/provenance/root.json": json.dumps(seal)}
        made[PRODUCTS] = (self.folder / PRODUCTS).read_text()
        self.job("seal", {}, made, [TABLE])
        paper = {TYPST: f'#let a = 1\n#let root = "{root}"\n#root\n', "results/paper/paper.pdf": f"PDF {root}"}
        self.job("print_paper", {}, paper, [TABLE, "results/provenance/root.json"])
        return root

    def copy_to(self, folder: Path) -> Path:
        """The results alone, under another name."""
        return Path(shutil.copytree(self.results, folder))
