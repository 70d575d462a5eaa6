"""A prepared dataset: ArrayRecord files that tensorflow_datasets writes and reads, without TensorFlow.

tfds's own builders of the MNIST family need TensorFlow to read the IDX files and to encode the images. The builders
here get arrays and give PIL images, and do without it. Examples, order and folder are those of tfds.
"""

import errno
import io
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from cnn_jax.data.dataset import Spec, Split, check
from cnn_jax.data.source import Source
from cnn_jax.errors import MachineError, ProjectError
from cnn_jax.plain_paths import linked


def write(source: Source, prepared: Path, train: Split, test: Split) -> None:
    """Prepares the dataset from its splits in the order of the original files.

    prepared: `<name>/<version>` below a data folder of tfds. Raises OSError, MachineError.
    """
    prepared.parent.mkdir(parents=True, exist_ok=True)
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    with _staging(prepared.parent) as staging, linked(staging) as plain, _quiet():
        builder = _builder(source, plain, {"train": train, "test": test})
        try:
            builder.download_and_prepare(download_dir=plain, download_config=config)
        except (OSError, ProjectError):
            raise
        except Exception as error:  # tfds and its writers have no common error type
            raise MachineError(f"{source.spec.name}: preparing {prepared} failed: {_brief(error)}.") from error
        _move(Path(builder.data_path), prepared)


def read(source: Source, prepared: Path) -> tuple[Split, Split]:
    """The training and the test split of a prepared dataset, in tfds's order. Raises MachineError."""
    try:
        with linked(prepared.parents[1]) as plain:
            builder = _builder(source, plain)
            train, test = (_decode(_records(builder, split), source.spec) for split in ("train", "test"))
        check(source.spec, train, test)
        return train, test
    except Exception as error:  # damage appears as an error of whichever library meets it first
        raise MachineError(
            f"The prepared data in {prepared} cannot be read: {_brief(error)}. "
            "Move that folder away and start again: the data are then prepared again."
        ) from error


def _builder(source: Source, data_dir: Path, splits: Mapping[str, Split] | None = None) -> Any:
    """A tfds builder of the source's dataset whose `data_path` is below `data_dir`. splits: what it is to write."""
    parent: Any = tfds.builder_cls(source.spec.name)

    class Builder(parent, skip_registration=True):  # type: ignore[call-arg]
        name = source.spec.name
        VERSION = tfds.core.Version(source.version)

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
            return {name: self._generate_examples(split) for name, split in (splits or {}).items()}

        def _generate_examples(self, split: Split) -> Iterator[tuple[int, dict[str, Any]]]:
            for key, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
                yield key, {"image": Image.fromarray(image[..., 0]), "label": int(label)}

    return Builder(data_dir=data_dir, file_format="array_record")


def _records(builder: Any, split: str) -> Sequence[bytes]:
    """All serialized examples of a split. tfds's own decoding, one by one, takes seven times as long."""
    records = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    return records.__getitems__(range(len(records)))


def _decode(records: Sequence[bytes], spec: Spec) -> Split:
    """The images and labels in serialized `tf.train.Example`s. A damaged example raises an error of any type."""
    images = np.empty((len(records), *spec.image_shape), np.uint8)
    labels = np.empty(len(records), np.int32)
    for i, record in enumerate(records):
        feature = tf_example_pb2.Example.FromString(record).features.feature
        with Image.open(io.BytesIO(feature["image"].bytes_list.value[0]), formats=["PNG"]) as image:
            images[i] = np.frombuffer(image.tobytes(), np.uint8).reshape(spec.image_shape)
        labels[i] = feature["label"].int64_list.value[0]
    return Split(images, labels)


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """A new folder to prepare in, which disappears at the end. Those of processes that were killed are deleted first.

    Not the one that tfds makes: it takes the name from `random`, and two seeded processes would share a folder.
    """
    for left in filter(Path.is_dir, parent.glob("incomplete.*")):
        with suppress(filelock.Timeout), _lock(left):  # the system released it if its holder died
            shutil.rmtree(left, ignore_errors=True)
    folder = parent / f"incomplete.{uuid.uuid4().hex}"
    with _lock(folder):  # before the folder is there: another process must not take it for one that was left
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder. Raises filelock.Timeout at once if another process holds it."""
    lock, is_anothers = filelock.FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0), False
    try:
        try:
            lock.acquire()
        except filelock.Timeout:
            is_anothers = True
            raise
        yield
    finally:  # also where a signal came while the lock was taken
        if not is_anothers:
            with suppress(OSError):  # Windows deletes no open file
                Path(lock.lock_file).unlink()
        lock.release()


def _move(finished: Path, prepared: Path) -> None:
    """Renames a finished folder, unless another process was faster and its folder is there. Raises OSError."""
    try:
        finished.rename(prepared)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences tfds's progress bars and its messages on standard output: the loader's notes are enough."""
    tfds.disable_progress_bar()
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()


def _brief(error: Exception) -> str:
    """An exception in one line that fits on a screen."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
