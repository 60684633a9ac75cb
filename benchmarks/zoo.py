"""The architectures that `benchmarks/architectures.py` tries: the smallest of each family, at a small size.

torchvision and timm by name, transformers by small configurations that are written to a folder. No weights are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORDS = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "bad", "fine", "film", "rather", "long", "text", "an", "example",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One architecture. `spec` for a library's; `config` names a transformers configuration and its settings."""

    library: str
    family: str
    name: str
    kind: str = "image"
    spec: str = ""
    config: tuple[str, dict[str, Any]] | None = None


def _named(library: str, listed: str) -> list[Entry]:
    """Entries from lines of "family: name[?options] …"."""
    found = []
    for line in listed.split("\n"):
        family, _, names = line.strip().partition(": ")
        for spec in names.split():
            found.append(Entry(library, family, spec.partition("?")[0], spec=f"{library}:{spec}"))
    return found


TORCHVISION = _named(
    "torchvision",
    """SqueezeNet: squeezenet1_1
    MobileNet: mobilenet_v2 mobilenet_v3_small
    ResNet: resnet18
    ResNeXt: resnext50_32x4d
    ShuffleNet: shufflenet_v2_x0_5
    MNASNet: mnasnet0_5
    RegNet: regnet_x_400mf regnet_y_400mf
    EfficientNet: efficientnet_b0 efficientnet_v2_s
    GoogLeNet: googlenet
    Inception: inception_v3?input_size=80
    DenseNet: densenet121
    AlexNet: alexnet?input_size=64
    ConvNeXt: convnext_tiny
    ViT: vit_b_16?input_size=32
    VGG: vgg11
    Swin: swin_v2_t?input_size=64 swin_t?input_size=64""",
)
TIMM = _named(
    "timm",
    """BEiT: beit_base_patch16_224?input_size=32&depth=2&embed_dim=48&num_heads=3
    BoTNet: eca_botnext26ts_256?input_size=64
    ByobNet: mobileone_s0
    CaiT: cait_xxs24_224?input_size=32&depth=2
    CoaT: coat_lite_tiny?input_size=32
    ConViT: convit_tiny?input_size=32&depth=2
    ConvNeXt: convnext_atto
    CPUBone: cpubone_nano
    CrossViT: crossvit_tiny_240?input_size=120
    CSPNet: cs3darknet_focus_s cspnext_tiny
    DaViT: davit_tiny
    DeiT: deit_tiny_patch16_224?input_size=32&depth=2 deit_tiny_distilled_patch16_224?input_size=32&depth=2
    DenseNet: densenet121
    DPN: dpn48b
    EdgeNeXt: edgenext_xx_small?input_size=64
    EfficientFormer: efficientformer_l1?input_size=224 efficientformerv2_s0?input_size=64
    EfficientNet: tinynet_e mnasnet_small
    EfficientViM: efficientvim_m1?input_size=64
    EfficientViT: efficientvit_b0 efficientvit_m0?input_size=224
    EVA: eva02_tiny_patch14_224?input_size=28&depth=2
    FasterNet: fasternet_t0
    FastViT: fastvit_t8?input_size=64
    FocalNet: focalnet_tiny_srf
    GCViT: gcvit_xxtiny?input_size=64
    GhostNet: ghostnet_050 repghostnet_050
    HGNet: hgnetv2_b0
    Hiera: hiera_tiny_224
    HRNet: hrnet_w18_small?input_size=64
    iFormer: iformer_t?input_size=64
    Inception: inception_next_atto
    LCNet: lcnet_035 lcnetv2_small
    LeViT: levit_128s levit_conv_128s
    LowFormer: lowformer_b0?input_size=64
    MambaOut: mambaout_femto
    MaxViT: maxvit_pico_rw_256?input_size=64 coatnet_pico_rw_224?input_size=64
    MetaFormer: poolformer_s12 caformer_s18
    MLP mixers: gmlp_ti16_224?input_size=32 gmixer_12_224?input_size=32
    MLP mixers: resmlp_12_224?input_size=32
    MobileNet: mobilenetv3_small_050
    MobileViT: mobilevit_xxs?input_size=64 mobilevitv2_050?input_size=64
    MViTv2: mvitv2_tiny?input_size=32
    NesT: nest_tiny_jx?input_size=64
    NextViT: nextvit_small
    NFNet: nf_regnet_b0
    PiT: pit_ti_224 pit_ti_distilled_224
    PVTv2: pvt_v2_b0
    RegNet: regnety_002
    ResNet: resnet14t
    StarNet: starnet_s050
    Swin: swin_tiny_patch4_window7_224?input_size=64&embed_dim=24 swinv2_tiny_window8_256?input_size=64&embed_dim=24
    Swin: swinv2_cr_tiny_224?input_size=64&embed_dim=24
    TNT: tnt_s_patch16_224?input_size=32&depth=2
    Twins: twins_svt_small?input_size=64
    ViT: vit_tiny_patch16_224?input_size=32&depth=2 vit_tiny_r_s16_p8_224?input_size=32&depth=2
    ViT: vit_relpos_small_patch16_224?input_size=32&depth=2
    VOLO: volo_d1_224?input_size=64
    VoVNet: ese_vovnet19b_slim_dw
    XCiT: xcit_nano_12_p8_224?input_size=32&depth=2""",
)

_TEXT = {"vocab_size": len(WORDS), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
_ENCODER = {
    **_TEXT, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "max_position_embeddings": 40,
}  # fmt: skip
_DECODER = {**_ENCODER, "num_key_value_heads": 2, "head_dim": 16}
_SEQ2SEQ = {
    **_TEXT, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 40,
}  # fmt: skip
_VIT = {
    "image_size": 32, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 48,
}  # fmt: skip
_SWIN = {
    "image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4,
}  # fmt: skip
_LEVIT = {
    "image_size": 64, "hidden_sizes": [32, 48, 64], "num_attention_heads": [2, 3, 4], "depths": [1, 1, 1],
    "key_dim": [8, 8, 8],
}  # fmt: skip
_STAGES = {"hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 1, 1]}
_VISION: dict[str, dict[str, Any]] = {
    "ViTConfig": _VIT,
    "DeiTConfig": _VIT,
    "DeiTConfig WithTeacher": _VIT,
    "BeitConfig": _VIT,
    "Data2VecVisionConfig": _VIT,
    "Dinov2Config": _VIT,
    "ViTMSNConfig": _VIT,
    "SwinConfig": _SWIN,
    "Swinv2Config": _SWIN,
    "ConvNextConfig": {**_STAGES, "image_size": 32},
    "ConvNextV2Config": {**_STAGES, "image_size": 32},
    "ResNetConfig": {**_STAGES, "embedding_size": 16, "layer_type": "basic"},
    "RegNetConfig": {**_STAGES, "embedding_size": 16, "groups_width": 8},
    "BitConfig": {"embedding_size": 16, "hidden_sizes": [32, 32], "depths": [1, 1], "num_groups": 8},
    "MobileViTConfig": {
        "image_size": 64, "hidden_sizes": [16, 20, 24], "neck_hidden_sizes": [16, 16, 24, 32, 40, 48, 56],
        "num_attention_heads": 2,
    },
    "MobileViTV2Config": {"image_size": 64, "width_multiplier": 0.25},
    "MobileNetV1Config": {"image_size": 32, "depth_multiplier": 0.25},
    "MobileNetV2Config": {"image_size": 32, "depth_multiplier": 0.35},
    "LevitConfig": _LEVIT,
    "LevitConfig WithTeacher": _LEVIT,
    "CvtConfig": {"embed_dim": [16, 24, 32], "num_heads": [1, 1, 2], "depth": [1, 2, 3],
                  "cls_token": [False, False, True]},
    "PoolFormerConfig": {**_STAGES},
    "PvtConfig": {**_STAGES, "image_size": 32, "num_attention_heads": [1, 2, 2, 4]},
    "PvtV2Config": {**_STAGES, "image_size": 32, "num_attention_heads": [1, 2, 2, 4]},
    "FocalNetConfig": {"image_size": 32, "embed_dim": 16, "depths": [1, 1, 1, 1]},
    "SegformerConfig": {**_STAGES, "num_attention_heads": [1, 2, 4, 4]},
    "EfficientNetConfig": {"image_size": 32, "width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320},
    "HieraConfig": {"image_size": [64, 64], "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4]},
}  # fmt: skip
_TEXTS: dict[str, dict[str, Any]] = {
    "BertConfig": _ENCODER,
    "RobertaConfig": _ENCODER,
    "ElectraConfig": {**_ENCODER, "embedding_size": 16},
    "AlbertConfig": {**_ENCODER, "embedding_size": 16},
    "MPNetConfig": _ENCODER,
    "ConvBertConfig": {**_ENCODER, "embedding_size": 16},
    "ModernBertConfig": {**_ENCODER, "cls_token_id": 2, "sep_token_id": 3},
    "FNetConfig": _ENCODER,
    "DebertaConfig": {**_ENCODER, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "DebertaV2Config": {
        **_ENCODER, "relative_attention": True, "position_buckets": 8, "share_att_key": True,
        "pos_att_type": ["c2p", "p2c"], "norm_rel_ebd": "layer_norm",
    },
    "DistilBertConfig": {**_TEXT, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48,
                         "max_position_embeddings": 40},
    "XLNetConfig": {**_TEXT, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48},
    "GPT2Config": {**_TEXT, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 40},
    "GPTNeoXConfig": _ENCODER,
    "OPTConfig": {**_ENCODER, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "BloomConfig": {**_TEXT, "hidden_size": 32, "n_layer": 2, "n_head": 2},
    "LlamaConfig": _DECODER,
    "MistralConfig": _DECODER,
    "Qwen2Config": _DECODER,
    "Qwen3Config": _DECODER,
    "GemmaConfig": _DECODER,
    "T5Config": {**_TEXT, "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2,
                 "decoder_start_token_id": 0},
    "BartConfig": {**_SEQ2SEQ, "decoder_start_token_id": 3},
    "FunnelConfig": {**_TEXT, "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 48, "block_sizes": [1, 1],
                     "max_position_embeddings": 40},
    "SqueezeBertConfig": {**_ENCODER, "embedding_size": 32, "q_groups": 1, "k_groups": 1, "v_groups": 1,
                          "post_attention_groups": 1, "intermediate_groups": 1, "output_groups": 1},
    "MobileBertConfig": {**_ENCODER, "embedding_size": 32, "true_hidden_size": 32, "intra_bottleneck_size": 32},
}  # fmt: skip
_WAVE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "conv_dim": (16, 16),
    "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 16,
}  # fmt: skip
_SOUNDS: dict[str, dict[str, Any]] = {
    "Wav2Vec2Config": _WAVE,
    "HubertConfig": _WAVE,
    "WavLMConfig": _WAVE,
    "UniSpeechConfig": _WAVE,
    "UniSpeechSatConfig": _WAVE,
    "SEWConfig": {**_WAVE, "squeeze_factor": 2},
    "Data2VecAudioConfig": _WAVE,
    "Wav2Vec2ConformerConfig": _WAVE,
    "ASTConfig": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
                  "num_mel_bins": 32, "max_length": 64},
    "WhisperConfig": {
        "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_layers": 1,
        "decoder_attention_heads": 2, "decoder_ffn_dim": 48, "num_mel_bins": 32, "max_source_positions": 30,
        "classifier_proj_size": 16, **_TEXT, "decoder_start_token_id": 2,
    },
}  # fmt: skip
TRANSFORMERS = [
    Entry("transformers", key.partition("Config")[0], key.replace("Config", "").replace(" ", ""), kind,
          config=(key.partition(" ")[0], settings))
    for kind, listed in (("image", _VISION), ("text", _TEXTS), ("sound", _SOUNDS))
    for key, settings in listed.items()
]  # fmt: skip
ENTRIES = (*TRANSFORMERS, *TIMM, *TORCHVISION)  # the quick ones first


def write_folder(entry: Entry, folder: Path) -> str:
    """The spec of a transformers entry, after its configuration (and tokenizer) was written to `folder`."""
    import tokenizers
    import transformers

    if entry.config is None:
        return entry.spec
    name, settings = entry.config
    purpose = "ForImageClassification" if entry.kind == "image" else "ForSequenceClassification"
    if name in ("ASTConfig", "WhisperConfig"):
        purpose = "ForAudioClassification"
    teacher = "WithTeacher" if entry.name.endswith("WithTeacher") else ""
    config = getattr(transformers, name)(**settings)
    config.architectures = [f"{name.removesuffix('Config')}{purpose}{teacher}"]  # as every saved model has
    config.save_pretrained(folder)
    if entry.kind == "text":
        vocabulary = {word: i for i, word in enumerate(WORDS)}
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="[PAD]",
            unk_token="[UNK]",
            eos_token="[SEP]",
            cls_token="[CLS]",
        ).save_pretrained(folder)
    return f"hf:{folder}"
