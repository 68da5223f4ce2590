"""Fine-tune a pretrained encoder and export it for serving.

The entry is :func:`training.encoder.train.train_encoder`. Torch, transformers, onnx and onnxruntime
come with the extra ``encoder`` and are imported only when training starts.
"""

from training.encoder.options import EncoderData, EncoderOptions
from training.encoder.train import TrainedEncoder, train_encoder

__all__ = ["EncoderData", "EncoderOptions", "TrainedEncoder", "train_encoder"]
