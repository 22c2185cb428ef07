"""Event files, which TensorBoard reads: a sequence of records, each a message of Protocol Buffers (TensorFlow's event.proto).

    record = length (uint64) ‖ crc(length) ‖ message ‖ crc(message)         crc: the masked CRC-32C (uint32), all little-endian

The package `tensorboard` has the messages and the checksum; nothing here needs TensorFlow or PyTorch. Its own writer is not used: a
thread of that one writes, so that an error comes out later or never, and it opens whatever has the file's name, also a link.
"""

import io
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.text import metadata as text_plugin

from scratchac.errors import WriteError
from scratchac.experiments.files import append

NAMES = "events.out.tfevents.*"         # TensorBoard opens files with "tfevents" in their names, in the order of these names


class EventFile:
    """A new event file in a folder; it is made, as the folder may be, when the first message is written.

    after   the environment step that the run goes on from: TensorBoard drops what earlier files of the folder have of later steps
    """

    def __init__(self, folder: Path, after: int):
        self.folder = folder
        self.path: Path | None = None
        self.waiting = _record(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        if after:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self.waiting += _record(event_pb2.Event(wall_time=time.time(), step=after + 1, session_log=start))

    def write(self, step: int, values: list[Any]) -> None:
        """Write values of a summary at this step. The file then has them all, whatever becomes of this process.

        Raises WriteError for a full disk and the like; the values then wait for the next call.
        """
        summary = summary_pb2.Summary(value=values)
        self.waiting += _record(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))
        try:
            self.path = self.path or _new(self.folder)
            append(self.path, self.waiting)
        except OSError as error:
            raise WriteError(f"{self.path or self.folder / NAMES} cannot be written: {error.strerror}") from error
        self.waiting = b""


def _new(folder: Path) -> Path:
    """Make a new, empty file, whose name comes after those that are there. Raises OSError; a link is not followed."""
    folder.mkdir(parents=True, exist_ok=True)
    earlier = [name for path in folder.glob(NAMES) if (name := path.name.split(".")[3]).isdecimal()]
    path = folder / f"{NAMES[:-1]}{max(int(time.time()), *(int(name) + 1 for name in earlier), 0):010d}.scratchac"
    with open(path, "xb"):                                  # x: it must not exist, not even as a link
        return path


def _record(event: Any) -> bytes:
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


# -- values of a summary -------------------------------------------------------------------------------------------------


def scalar(tag: str, value: float) -> Any:
    """A number, in float32."""
    with np.errstate(over="ignore"):                        # beyond float32 it is infinite
        return summary_pb2.Summary.Value(tag=tag, simple_value=float(np.float32(value)))


def text(tag: str, content: str) -> Any:
    """A text in Markdown."""
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[content.encode()],
                                    tensor_shape=tensor_shape_pb2.TensorShapeProto())
    return summary_pb2.Summary.Value(tag=tag, metadata=text_plugin.create_summary_metadata(tag, ""), tensor=tensor)


def picture(tag: str, data: bytes) -> Any:
    """A picture, which a GIF may be too: a browser plays it."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
    content = summary_pb2.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
    return summary_pb2.Summary.Value(tag=tag, image=content)


def started(hyperparameters: Mapping[str, Any]) -> Any:
    """A row of TensorBoard's table HPARAMS: numbers, truth values and text; other values as text."""
    info = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
    for name, value in hyperparameters.items():
        kind = "bool_value" if isinstance(value, bool) else "number_value" if isinstance(value, int | float) else "string_value"
        setattr(info.hparams[name], kind, str(value) if kind == "string_value" else value)
    return _hparams(hparams.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=info))


def ended() -> Any:
    """That row has come to its end."""
    info = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    return _hparams(hparams.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=info))


def _hparams(tag: str, data: Any) -> Any:
    return summary_pb2.Summary.Value(tag=tag, metadata=hparams.create_summary_metadata(data), tensor=hparams.NULL_TENSOR)
