"""Writes transformers_parameter_counts.json: what Hugging Face Transformers counts for the catalog's configs.

Run by hand, with torch and transformers installed: `python tests/golden/count_with_transformers.py`.
Models are built on the meta device, so nothing is downloaded and no memory is needed.
"""

import json
from pathlib import Path

import torch
import transformers

CATALOG = Path(__file__).parents[2] / "datasets" / "models"
OUTPUT = Path(__file__).with_name("transformers_parameter_counts.json")
SAME_CODE = {"kimi_k2": "deepseek_v3"}


def count(keys: dict[str, object]) -> int | None:
    """All parameters, and the learned balancing bias of experts, which Transformers keeps in a buffer."""
    keys = {**keys, **keys.get("text_config", {})}
    model_type = SAME_CODE.get(keys["model_type"], keys["model_type"])
    if model_type not in transformers.CONFIG_MAPPING or model_type == "dbrx":
        return None  # dbrx: Transformers 5 can't build it without keys that its config.json lacks
    own = {"model_type", "architectures", "text_config", "_meshwright"}
    config = transformers.CONFIG_MAPPING[model_type](**{k: v for k, v in keys.items() if k not in own})
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    biases = (b.numel() for name, b in model.named_buffers() if name.endswith("e_score_correction_bias"))
    return sum(p.numel() for p in model.parameters()) + sum(biases)


def main() -> None:
    counts = {file.stem: count(json.loads(file.read_text())) for file in sorted(CATALOG.glob("*.json"))}
    known = {name: number for name, number in counts.items() if number is not None}
    counted_by = f"Hugging Face Transformers {transformers.__version__} on torch's meta device"
    OUTPUT.write_text(json.dumps({"counted_by": counted_by, "parameters": known}, indent=2) + "\n")


if __name__ == "__main__":
    main()
