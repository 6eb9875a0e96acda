"""Which function reads which `model_type`."""

from collections.abc import Callable, Mapping
from typing import Final

from meshwright.cost_models.architecture import Architecture
from meshwright.planner.models.config import Config
from meshwright.planner.models.families import deepseek, gemma, gpt, hybrid, llama, moe

Reader = Callable[[Config], Architecture]

READERS: Final[Mapping[str, Reader]] = {
    "llama": llama.llama,
    "aquila": llama.llama,
    "baichuan": llama.llama,
    "granite": llama.llama,
    "internlm": llama.llama,
    "internlm2": llama.llama,
    "mistral": llama.llama,
    "phi3": llama.llama,
    "yi": llama.llama,
    "qwen": llama.qwen,
    "qwen2": llama.qwen2,
    "qwen2_5_vl": llama.qwen2,
    "qwen3": llama.qwen3,
    "qwen3_vl": llama.qwen3,
    "olmo": llama.olmo,
    "olmo2": llama.olmo2,
    "olmo3": llama.olmo2,
    "cohere": llama.cohere,
    "cohere2": llama.cohere,
    "glm": llama.glm,
    "glm4": llama.glm4,
    "chatglm": llama.chatglm,
    "gemma": gemma.gemma,
    "gemma2": gemma.gemma2,
    "gemma3": gemma.gemma3,
    "gpt2": gpt.gpt2,
    "gpt_neox": gpt.gpt_neox,
    "gptj": gpt.gptj,
    "phi": gpt.phi,
    "opt": gpt.opt,
    "bloom": gpt.bloom,
    "mpt": gpt.mpt,
    "falcon": gpt.falcon,
    "starcoder2": gpt.starcoder2,
    "nemotron": gpt.nemotron,
    "mixtral": moe.mixtral,
    "granitemoe": moe.mixtral,
    "minimax_m2": moe.minimax_m2,
    "qwen2_moe": moe.qwen2_moe,
    "qwen3_moe": moe.qwen3_moe,
    "qwen3_vl_moe": moe.qwen3_moe,
    "olmoe": moe.olmoe,
    "phimoe": moe.phimoe,
    "gpt_oss": moe.gpt_oss,
    "dbrx": moe.dbrx,
    "grok-1": moe.grok,
    "llama4": moe.llama4,
    "deepseek": deepseek.deepseek,
    "deepseek_v2": deepseek.deepseek_v2,
    "deepseek_v3": deepseek.deepseek_v3,
    "kimi_k2": deepseek.deepseek_v3,
    "glm4_moe": deepseek.glm4_moe,
    "nemotron_h": hybrid.nemotron_h,
    "qwen3_next": hybrid.qwen3_next,
    "qwen3_5": hybrid.qwen3_next,
    "qwen3_5_moe": hybrid.qwen3_next,
}
"""Every `model_type` of a config.json that Meshwright reads, with or without `_text` at its end."""
