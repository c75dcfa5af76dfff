"""Which operators a model may use here, whatever a runtime would find for them.

ONNX's own domains, the model's own functions, and of onnxruntime's contributed domain the
operators listed: those that compute. What isn't listed may be code (PyOp, a custom-op
library's), another program's compiled blob (EPContext, Snpe), or one of the kernels that
onnxruntime makes for itself and doesn't guard against a model's attributes (com.microsoft.nchwc,
com.ms.internal.nhwc).
"""

from __future__ import annotations

from typing import Final

from eais.errors import EaisError, make_error
from eais.onnx_external import ModelScan
from eais.rpc.status import ONNXRUNTIME_CLASS

ONNX_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
CONTRIBUTED: Final = "com.microsoft"
# As of onnxruntime 1.31. One that a later version adds is refused until it was looked at.
_COMPUTING: Final = """
Attention AttnLSTM BeamSearch BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu
BifurcationDetector BitmaskBiasDropout BitmaskDropout BranchwiseRMSNorm CDist
CausalConvWithState ComplexMul ComplexMulConj ConvTransposeWithDynamicPads CropAndResize
DecoderAttention DecoderMaskedMultiHeadAttention DecoderMaskedSelfAttention DequantizeBFP
DequantizeLinear DequantizeWithOrder DynamicQuantizeLSTM DynamicQuantizeMatMul
DynamicSparseAttention DynamicTimeWarping EmbedLayerNormalization EngramGate ExpandDims
FastGelu FusedConv FusedGemm FusedMatMul FusedMatMulActivation GatedAdd GatedDeltaNet
GatedRMSNorm GatedRelativePositionBias GatherBlockQuantized GatherND Gelu GemmFastGelu
GemmFloat8 GemmaRotaryEmbedding GreedySearch GridSample GroupNorm GroupQueryAttention
HyperConnectionPostMix HyperConnectionPreMix Inverse Irfft IsAllFinite LinearAttention
LinearAttentionGate LongformerAttention MRotaryEmbedding MatMulBlockQuantizedFp4Weight
MatMulBlockQuantizedFp8Weight MatMulBnb4 MatMulFpQ4 MatMulInteger16 MatMulIntegerToFloat
MatMulNBits MatMulNBitsMlp MatMulNBitsQkv MaxpoolWithMask MoE MulInteger MultiHeadAttention
MurmurHash3 NGramHashMapping NGramRepeatBlock NhwcConv NhwcFusedConv NhwcMaxPool
PackedAttention PackedMultiHeadAttention PackedSparseAttentionIndexer Pad PagedAttention
QAttention QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat
QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean
QLinearSigmoid QLinearSoftmax QLinearWhere QMoE QOrderedAttention QOrderedGelu
QOrderedLayerNormalization QOrderedLongformerAttention QOrderedMatMul QuantizeBFP
QuantizeLinear QuantizeWithOrder QuickGelu Range ReduceSumInteger RelativePositionBias
RemovePadding RestorePadding Rfft RotaryEmbedding Sampling ScaledSiLU SkipGroupNorm
SkipLayerNormalization SkipSimplifiedLayerNormalization SparseAttention
SparseAttentionIndexer SparsePagedAttention SparseToDenseMatMul Tokenizer TorchEmbedding
TransposeMatMul Trilu UnfoldTensor Unique VarlenCausalConvWithState VarlenNGramHashMapping
WhisperBeamSearch WordConvEmbedding
"""
CONTRIBUTED_OPS: Final = frozenset(_COMPUTING.split())
# Refused under any domain, also as a function's name -> what onnxruntime raises for it.
CARRIERS: Final = {"EPContext": "NotImplemented", "PyOp": "Fail", "Snpe": "NotImplemented"}
_SHOWN: Final = 64


def check_ops(scan: ModelScan, model: str) -> None:
    """Refuse a model with an operator that isn't run here.

    Args:
        model: how onnxruntime's text begins for a model that came this way: "" for bytes.

    Raises:
        ModelRejected: OP_REFUSED with metadata op and domain.
    """
    for domain, op in sorted(scan.ops):
        if op in CARRIERS:
            text = f"the op {op[:_SHOWN]} of domain {domain[:_SHOWN]!r} is not run here"
            raise _refused(domain, op, text, CARRIERS[op])
        if not _is_known(domain, op) and (domain, op) not in scan.functions:
            name = f"{domain[:_SHOWN]}:{op[:_SHOWN]}(-1)"
            text = f"{model}Fatal error: {name} is not a registered function/op"
            raise _refused(domain, op, f"[ONNXRuntimeError] : 1 : FAIL : {text}", "Fail")


def _is_known(domain: str, op: str) -> bool:
    return domain in ONNX_DOMAINS or (domain == CONTRIBUTED and op in CONTRIBUTED_OPS)


def _refused(domain: str, op: str, text: str, kind: str) -> EaisError:
    about = {"op": op[:_SHOWN], "domain": domain[:_SHOWN], ONNXRUNTIME_CLASS: kind}
    return make_error("OP_REFUSED", text, metadata=about)
