"""A tiny DESED as it is on the internet: records, archives in their published form, and a stand-in for yt-dlp."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import soundfile

from tests.misbehaving_server import Site

RATE = 16_000
SECONDS = 1.0  # of a clip in an archive
RECORDS = {"real": 4639776, "strong": 6444477, "public": 4560759, "synthetic": 6026841, "soundbank": 4307908}
SYNTHETIC = {"train": 5, "validation": 3}
REAL = {
    "strong_real": ["Yaaaaaaaaaa0_0.000_10.000.wav", "Yaaaaaaaaaa1_30.000_40.000.wav"],
    "weak": ["Ybbbbbbbbbb0_30.000_40.000.wav", "Ybbb_-_bbbb1_10.000_20.000.wav", "Ybbbbbbbbbb2_0.000_7.000.wav"],
    "unlabeled": ["Ycccccccccc0_30.000_40.000.wav", "Ycccccccccc1_30.000_40.000.wav"],
    "validation": ["YYddddddddd0_30.000_40.000.wav", "Yddddddddddd_30.000_40.000.wav"],
}
PUBLIC = ["eeeeeeeeee0_120_130.wav", "eeeeeeeeee1_0_10.wav"]
LABELS = ("Cat", "Dog")
ARCHIVE = "/files/6026841/dcase_synth.zip"  # on the site
EVAL = "/files/4560759/DESED_public_eval.tar.gz"
STRONG_TSV = "/files/6444477/audioset_strong.tsv"
WEAK = "audio/train/weak"  # in a tree


def wav(key: str, seconds: float = SECONDS, rate: int = RATE) -> bytes:
    """Return noise, seeded by `key`, as a WAV file."""
    samples = np.random.default_rng([ord(letter) for letter in key]).normal(0, 0.1, round(seconds * rate))
    output = io.BytesIO()
    soundfile.write(output, samples, rate, subtype="PCM_16", format="WAV")
    return output.getvalue()


def strong(names: list[str]) -> bytes:
    rows = [f"{name}\t0.100\t0.900\t{LABELS[i % 2]}" for i, name in enumerate(names)]
    return "\n".join(["filename\tonset\toffset\tevent_label", *rows, ""]).encode()


def zip_of(files: dict[str, bytes]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return output.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return output.getvalue()


def make_site() -> Site:
    """Return a site with all that stage 0 requests, and files that it must ignore, as in the published archives."""
    site = Site()
    weak = "\n".join(["filename\tevent_labels", *(f"{name}\tCat,Dog" for name in REAL["weak"]), ""]).encode()
    unlabeled = "\n".join(["filename", *REAL["unlabeled"], ""]).encode()
    real = {"train/weak.tsv": weak, "train/unlabel_in_domain.tsv": unlabeled}
    real["validation/validation.tsv"] = strong(REAL["validation"])
    site.add(RECORDS["real"], "audioset_metadata.tar.gz", tar_of({f"metadata/{n}": c for n, c in real.items()}))
    site.add(RECORDS["strong"], "audioset_strong.tsv", strong(REAL["strong_real"]))
    public = {f"dataset/audio/eval/public/{name}": wav(name) for name in PUBLIC}
    public["dataset/metadata/eval/public.tsv"] = strong(PUBLIC)
    site.add(RECORDS["public"], "DESED_public_eval.tar.gz", tar_of(public))
    synthetic = {"dcase_synth/README.md": b"as published"}
    for part, clips in SYNTHETIC.items():
        names = [f"{i}.wav" for i in range(clips)]
        folder = f"{part}/synthetic21_{part}/soundscapes"
        synthetic |= {f"dcase_synth/audio/{folder}/{name}": wav(part + name) for name in names}
        synthetic |= {f"dcase_synth/audio/{folder}/{i}.jams": b"{}" for i in range(clips)}
        synthetic[f"dcase_synth/metadata/{folder}.tsv"] = strong(names)
    site.add(RECORDS["synthetic"], "dcase_synth.zip", zip_of(synthetic))
    for names in REAL.values():
        site.files |= {f"/youtube/{name[1:12]}": wav(name, 45.0 if "_30" in name else 25.0, 44_100) for name in names}
    return site


def settings(site: Site) -> list[str]:
    """Return settings that direct stage 0 to the site, without the waits that the internet needs."""
    return [
        f"fetch.records={site.address}/api/records",
        "fetch.stall_seconds=0.5",
        "fetch.longest_wait=0.01",
        "fetch.clips_per_second=1000",
        "fetch.attempts=4",
        "data.clip_seconds=1.0",
        "data.classes=[Cat, Dog]",
    ]


class YoutubeDL:
    """A stand-in for yt-dlp: gives desed the file that the site holds for a video, and refuses in yt-dlp's words."""

    def __init__(self, options: dict) -> None:
        self.options = options

    def __enter__(self) -> YoutubeDL:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def extract_info(self, url: str, download: bool) -> dict:
        from yt_dlp import DownloadError

        video = url.partition("watch?v=")[2]
        try:
            with urllib.request.urlopen(f"{os.environ['TINY_YOUTUBE']}/youtube/{video}", timeout=5) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            words = {404: "Video unavailable. This video\n\thas been removed by the uploader"}
            said = words.get(error.code, f"Unable to download webpage: HTTP Error {error.code}")
            raise DownloadError(f"\x1b[0;31mERROR:\x1b[0m [youtube] {video}: {said}") from None
        Path(self.options["outtmpl"] % {"id": video, "ext": "wav"}).write_bytes(content)
        return {"id": video, "formats": [{"vcodec": "none", "ext": "wav"}]}


FIGURES = {
    "Cat": {"proba": 0.6, "co-occurences": {"max_events": 3, "classes": ["Cat", "Dog"], "probas": [0.5, 0.5]}},
    "Dog_nOff": {"proba": 0.4, "co-occurences": {"max_events": 2, "classes": ["Dog"], "probas": [1.0]}},
}


def add_soundbank(site: Site) -> None:
    """Add DESED's soundbank to the site: one archive, a list of the sounds for validation, and the occurrences file."""
    folders = ("foreground/Cat", "foreground/Dog", "foreground/Dog_nOff", "background/home")
    seconds = {"background/home": 3.0}
    sounds = {
        f"audio/train/soundbank/{f}/{i}.wav": wav(f"{f}{i}", seconds.get(f, 0.5)) for f in folders for i in range(4)
    }
    held_out = [name.replace("/train/", "/validation/") for name in sounds if name.endswith("/3.wav")]
    site.add(RECORDS["soundbank"], "DESED_synth_soundbank.tar.gz", tar_of(sounds))
    site.add(RECORDS["soundbank"], "soundbank_validation.tsv", "\n".join(["filepath", *held_out, ""]).encode())
    site.files["/occurrences.json"] = json.dumps(FIGURES).encode()


def generation(site: Site) -> list[str]:
    """Return the settings with which stage 0 generates the synthetic splits from the soundbank."""
    return [
        "data.synthetic=generate",
        "data.splits=[synthetic_train, synthetic_validation]",
        "fetch.soundscapes.synthetic_train=10",
        "fetch.soundscapes.synthetic_validation=3",
        f"fetch.occurrences={site.address}/occurrences.json",
        "data.clip_seconds=2.0",
    ]


# What locks, the check and the feature extraction leave in a root
OTHERS = {".lock", ".features.lock", "features", ".checked", "data_report.json", "data_report.html"}


def tree(root: Path) -> dict[str, str]:
    """Return the hash of every file by its path, without the files that later steps of stage 0 write."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not {*path.parts} & OTHERS)
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def asked(site: Site) -> list[str]:
    return [path for path, _ in site.requests]


def layout() -> set[str]:
    """Return every path of a complete tree."""
    paths = {f"audio/train/strong_label_real/{name}" for name in REAL["strong_real"]}
    paths |= {f"audio/train/unlabel_in_domain/{name}" for name in REAL["unlabeled"]}
    paths |= {f"audio/train/weak/{name}" for name in REAL["weak"]}
    paths |= {f"audio/validation/validation/{name}" for name in REAL["validation"]}
    paths |= {f"audio/eval/public/{name}" for name in PUBLIC}
    for part, clips in SYNTHETIC.items():
        paths |= {f"audio/{part}/synthetic21_{part}/soundscapes/{i}.wav" for i in range(clips)}
        paths.add(f"metadata/{part}/synthetic21_{part}/soundscapes.tsv")
    tables = ("train/weak", "train/unlabel_in_domain", "train/audioset_strong", "validation/validation", "eval/public")
    return paths | {f"metadata/{table}.tsv" for table in tables}
